# What a launch looks up first: images by search and by parameter, a key pair, the default VPC; and what stands beside a network: a
# reservation, a group in two VPCs, a VPN gateway, a log group. Needs AWS_ENDPOINT_URL, as `peerway up` prints it.

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

variable "public_key" {
  description = "A line of authorized_keys."
  type        = string
  default     = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA ops"
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = var.account
  secret_key                  = "any-secret"
  skip_metadata_api_check     = true
  skip_credentials_validation = false
}

data "aws_ami" "al2023" {
  most_recent = true
  owners      = ["amazon"]
  filter {
    name   = "name"
    values = ["al2023-ami-2023*-kernel-6.1-x86_64"]
  }
  filter {
    name   = "virtualization-type"
    values = ["hvm"]
  }
}

data "aws_ami" "ubuntu" {
  most_recent = true
  owners      = ["099720109477"]
  filter {
    name   = "name"
    values = ["ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"]
  }
}

data "aws_ssm_parameter" "al2023" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
}

resource "aws_default_vpc" "this" {
  tags = { Name = "default" }
}

resource "aws_default_subnet" "a" {
  availability_zone = "us-east-1a"
  depends_on        = [aws_default_vpc.this]
}

resource "aws_key_pair" "ops" {
  key_name   = "ops"
  public_key = var.public_key
}

resource "aws_instance" "one" {
  ami           = data.aws_ami.al2023.id
  instance_type = "t3.micro"
  subnet_id     = aws_default_subnet.a.id
  key_name      = aws_key_pair.ops.key_name
  monitoring    = true
  credit_specification {
    cpu_credits = "standard"
  }
  tags = { Name = "one" }
}

resource "aws_vpc" "side" {
  for_each   = { a = "10.16.0.0/16", b = "10.17.0.0/16" }
  cidr_block = each.value
  tags       = { Name = each.key }
}

resource "aws_subnet" "a" {
  vpc_id     = aws_vpc.side["a"].id
  cidr_block = "10.16.1.0/24"
}

resource "aws_ec2_subnet_cidr_reservation" "set_aside" {
  subnet_id        = aws_subnet.a.id
  cidr_block       = "10.16.1.64/28"
  reservation_type = "explicit"
  description      = "for those who ask"
}

resource "aws_security_group" "web" {
  name   = "web"
  vpc_id = aws_vpc.side["a"].id
}

resource "aws_vpc_security_group_vpc_association" "web" {
  security_group_id = aws_security_group.web.id
  vpc_id            = aws_vpc.side["b"].id
}

resource "aws_vpn_gateway" "this" {
  vpc_id          = aws_vpc.side["a"].id
  amazon_side_asn = 65000
}

resource "aws_route_table" "a" {
  vpc_id = aws_vpc.side["a"].id
}

resource "aws_vpn_gateway_route_propagation" "a" {
  vpn_gateway_id = aws_vpn_gateway.this.id
  route_table_id = aws_route_table.a.id
}

resource "aws_cloudwatch_log_group" "flows" {
  name              = "/vpc/flows"
  retention_in_days = 7
  tags              = { Name = "flows" }
}

output "images" {
  value = {
    al2023    = data.aws_ami.al2023.id
    parameter = nonsensitive(data.aws_ssm_parameter.al2023.value)
    ubuntu    = data.aws_ami.ubuntu.name
  }
}

output "instance" {
  value = aws_instance.one.id
}
