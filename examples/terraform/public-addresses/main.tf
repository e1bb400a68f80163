# A VPC with a way to the internet of this cloud, an Elastic IP address on an interface in it, and one that is held for later.
# Needs AWS_ENDPOINT_URL, as `peerway up` prints it.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "account" {
  description = "Account id; in the lenient mode of peerway up it is the access key."
  type        = string
  default     = "111111111111"
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = var.account
  secret_key                  = "any-secret"
  skip_metadata_api_check     = true
  skip_credentials_validation = false
  default_tags {
    tags = { Example = "public-addresses" }
  }
}

resource "aws_vpc" "web" {
  cidr_block           = "10.16.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = "web" }
}

resource "aws_subnet" "web" {
  vpc_id                  = aws_vpc.web.id
  cidr_block              = "10.16.1.0/24"
  map_public_ip_on_launch = true
}

resource "aws_internet_gateway" "web" {
  vpc_id = aws_vpc.web.id
  tags   = { Name = "web" }
}

resource "aws_route_table" "web" {
  vpc_id = aws_vpc.web.id
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.web.id
  }
}

resource "aws_route_table_association" "web" {
  subnet_id      = aws_subnet.web.id
  route_table_id = aws_route_table.web.id
}

resource "aws_network_interface" "web" {
  subnet_id = aws_subnet.web.id
}

resource "aws_eip" "web" {
  domain            = "vpc"
  network_interface = aws_network_interface.web.id
  tags              = { Name = "web" }
  depends_on        = [aws_internet_gateway.web]
}

resource "aws_eip" "spare" {
  domain = "vpc"
  tags   = { Name = "spare" }
}

output "web" {
  value = aws_eip.web.public_ip
}

output "interface" {
  value = aws_network_interface.web.id
}

output "spare" {
  value = aws_eip.spare.allocation_id
}
