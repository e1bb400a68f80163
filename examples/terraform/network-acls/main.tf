# Network ACLs: with all entries in one block, with entries and associations of their own, and the VPC's default one emptied.
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

variable "blocked" {
  description = "Blocks that are denied whatever a security group says, by rule number."
  type        = map(string)
  default     = { "90" = "10.66.0.0/16" }
}

provider "aws" {
  region                  = "us-east-1"
  access_key              = var.account
  secret_key              = "any-secret"
  skip_metadata_api_check = true
  default_tags {
    tags = { Example = "network-acls" }
  }
}

resource "aws_vpc" "this" {
  cidr_block                       = "10.16.0.0/16"
  assign_generated_ipv6_cidr_block = true
}

resource "aws_subnet" "this" {
  for_each   = { open = 1, strict = 2, rest = 3 }
  vpc_id     = aws_vpc.this.id
  cidr_block = cidrsubnet(aws_vpc.this.cidr_block, 8, each.value)
  tags       = { Name = each.key }
}

# Without rules it denies all: a subnet that nobody gave an ACL is closed.
resource "aws_default_network_acl" "closed" {
  default_network_acl_id = aws_vpc.this.default_network_acl_id
  subnet_ids             = [aws_subnet.this["rest"].id]
  tags                   = { Name = "closed" }
}

resource "aws_network_acl" "open" {
  vpc_id     = aws_vpc.this.id
  subnet_ids = [aws_subnet.this["open"].id]
  tags       = { Name = "open" }

  dynamic "ingress" {
    for_each = var.blocked
    content {
      rule_no    = tonumber(ingress.key)
      action     = "deny"
      protocol   = "-1"
      from_port  = 0
      to_port    = 0
      cidr_block = ingress.value
    }
  }
  ingress {
    rule_no    = 100
    action     = "allow"
    protocol   = "-1"
    from_port  = 0
    to_port    = 0
    cidr_block = "0.0.0.0/0"
  }
  ingress {
    rule_no         = 101
    action          = "allow"
    protocol        = "-1"
    from_port       = 0
    to_port         = 0
    ipv6_cidr_block = "::/0"
  }
  egress {
    rule_no    = 100
    action     = "allow"
    protocol   = "-1"
    from_port  = 0
    to_port    = 0
    cidr_block = "0.0.0.0/0"
  }
}

resource "aws_network_acl" "strict" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "strict" }
}

resource "aws_network_acl_association" "strict" {
  network_acl_id = aws_network_acl.strict.id
  subnet_id      = aws_subnet.this["strict"].id
}

locals {
  rules = {
    web        = { number = 100, egress = false, protocol = "tcp", from = 80, to = 80 }
    answers_in = { number = 110, egress = false, protocol = "tcp", from = 1024, to = 65535 }
    names_in   = { number = 120, egress = false, protocol = "udp", from = 1024, to = 65535 }
    answers    = { number = 100, egress = true, protocol = "tcp", from = 1024, to = 65535 }
    names      = { number = 110, egress = true, protocol = "udp", from = 53, to = 53 }
  }
}

resource "aws_network_acl_rule" "strict" {
  for_each       = local.rules
  network_acl_id = aws_network_acl.strict.id
  rule_number    = each.value.number
  egress         = each.value.egress
  protocol       = each.value.protocol
  rule_action    = "allow"
  cidr_block     = "10.0.0.0/8"
  from_port      = each.value.from
  to_port        = each.value.to
}

resource "aws_network_acl_rule" "echo" {
  network_acl_id = aws_network_acl.strict.id
  rule_number    = 200
  protocol       = "icmp"
  rule_action    = "allow"
  cidr_block     = "10.0.0.0/8"
  icmp_type      = 8
  icmp_code      = -1
}

resource "aws_network_acl_rule" "echo_ipv6" {
  network_acl_id  = aws_network_acl.strict.id
  rule_number     = 201
  protocol        = "58"
  rule_action     = "allow"
  ipv6_cidr_block = aws_vpc.this.ipv6_cidr_block
  icmp_type       = 128
  icmp_code       = -1
}

output "acls" {
  value = { open = aws_network_acl.open.id, strict = aws_network_acl.strict.id, closed = aws_default_network_acl.closed.id }
}
