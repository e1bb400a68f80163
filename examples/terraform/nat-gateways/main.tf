# Ways out that nobody can come in by: a public NAT gateway with an Elastic IP address, a private one, and an egress-only internet gateway
# for IPv6. Needs AWS_ENDPOINT_URL, as `peerway up` prints it.

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
  region                  = "us-east-1"
  access_key              = var.account
  secret_key              = "any-secret"
  skip_metadata_api_check = true
  default_tags {
    tags = { Example = "nat-gateways" }
  }
}

resource "aws_vpc" "this" {
  cidr_block                       = "10.16.0.0/16"
  assign_generated_ipv6_cidr_block = true
}

resource "aws_subnet" "side" {
  for_each        = { public = 1, private = 2, inside = 3 }
  vpc_id          = aws_vpc.this.id
  cidr_block      = cidrsubnet(aws_vpc.this.cidr_block, 8, each.value)
  ipv6_cidr_block = cidrsubnet(aws_vpc.this.ipv6_cidr_block, 8, each.value)
  tags            = { Name = each.key }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_egress_only_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_eip" "nat" {
  domain     = "vpc"
  depends_on = [aws_internet_gateway.this]
}

resource "aws_nat_gateway" "public" {
  subnet_id     = aws_subnet.side["public"].id
  allocation_id = aws_eip.nat.id
  tags          = { Name = "public" }
  depends_on    = [aws_internet_gateway.this]
}

resource "aws_nat_gateway" "private" {
  subnet_id         = aws_subnet.side["private"].id
  connectivity_type = "private"
  private_ip        = "10.16.2.10"
  tags              = { Name = "private" }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this.id
  }
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id
  route {
    cidr_block     = "0.0.0.0/0"
    nat_gateway_id = aws_nat_gateway.public.id
  }
  route {
    ipv6_cidr_block        = "::/0"
    egress_only_gateway_id = aws_egress_only_internet_gateway.this.id
  }
}

resource "aws_route_table" "inside" {
  vpc_id = aws_vpc.this.id
  route {
    cidr_block     = "10.0.0.0/8"
    nat_gateway_id = aws_nat_gateway.private.id
  }
}

resource "aws_route_table_association" "side" {
  for_each = {
    public  = aws_route_table.public.id
    private = aws_route_table.private.id
    inside  = aws_route_table.inside.id
  }
  subnet_id      = aws_subnet.side[each.key].id
  route_table_id = each.value
}

output "gateways" {
  value = { public = aws_nat_gateway.public.id, private = aws_nat_gateway.private.id }
}

output "address" {
  value = aws_nat_gateway.public.public_ip
}
