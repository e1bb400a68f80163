# Blocks under a name: prefix lists in a security group's rule and in a route, a list whose entries stand alone, and a table for
# an internet gateway. Needs AWS_ENDPOINT_URL, as `peerway up` prints it.

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

variable "offices" {
  description = "Blocks from which the web servers are reached, by name."
  type        = map(string)
  default     = { north = "10.20.0.0/16", south = "10.21.0.0/16" }
}

variable "offices_max" {
  description = "Room in the list; a rule that names it counts as so many."
  type        = number
  default     = 5
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = var.account
  secret_key                  = "any-secret"
  skip_metadata_api_check     = true
  skip_credentials_validation = false
  default_tags {
    tags = { Example = "prefix-lists" }
  }
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

resource "aws_vpc_peering_connection" "peer" {
  vpc_id      = aws_vpc.side["a"].id
  peer_vpc_id = aws_vpc.side["b"].id
  auto_accept = true
}

resource "aws_ec2_managed_prefix_list" "offices" {
  name           = "offices"
  address_family = "IPv4"
  max_entries    = var.offices_max

  dynamic "entry" {
    for_each = var.offices
    content {
      cidr        = entry.value
      description = entry.key
    }
  }
}

resource "aws_ec2_managed_prefix_list" "remote" {
  name           = "remote"
  address_family = "IPv4"
  max_entries    = 3
}

resource "aws_ec2_managed_prefix_list_entry" "remote" {
  for_each       = { first = "10.17.0.0/17", second = "10.17.128.0/17" }
  cidr           = each.value
  description    = each.key
  prefix_list_id = aws_ec2_managed_prefix_list.remote.id
}

resource "aws_security_group" "web" {
  name        = "web"
  description = "answers the offices"
  vpc_id      = aws_vpc.side["a"].id
}

resource "aws_vpc_security_group_ingress_rule" "web" {
  security_group_id = aws_security_group.web.id
  prefix_list_id    = aws_ec2_managed_prefix_list.offices.id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_route_table" "a" {
  vpc_id = aws_vpc.side["a"].id
}

resource "aws_route" "remote" {
  route_table_id             = aws_route_table.a.id
  destination_prefix_list_id = aws_ec2_managed_prefix_list.remote.id
  vpc_peering_connection_id  = aws_vpc_peering_connection.peer.id
}

resource "aws_route_table_association" "a" {
  subnet_id      = aws_subnet.a.id
  route_table_id = aws_route_table.a.id
}

resource "aws_internet_gateway" "a" {
  vpc_id = aws_vpc.side["a"].id
}

resource "aws_route_table" "edge" {
  vpc_id = aws_vpc.side["a"].id
}

resource "aws_route_table_association" "edge" {
  gateway_id     = aws_internet_gateway.a.id
  route_table_id = aws_route_table.edge.id
}

output "offices" {
  value = aws_ec2_managed_prefix_list.offices.id
}

output "remote" {
  value = aws_ec2_managed_prefix_list.remote.id
}
