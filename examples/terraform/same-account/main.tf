# Two VPCs of one account in one region, peered and routed both ways.
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
    tags = { Example = "same-account" }
  }
}

locals {
  sides = { a = "10.16.0.0/16", b = "10.17.0.0/16" }
  peer  = { a = "10.17.0.0/16", b = "10.16.0.0/16" }
}

resource "aws_vpc" "side" {
  for_each             = local.sides
  cidr_block           = each.value
  enable_dns_hostnames = true
  tags                 = { Name = each.key }
}

resource "aws_subnet" "side" {
  for_each   = local.sides
  vpc_id     = aws_vpc.side[each.key].id
  cidr_block = cidrsubnet(each.value, 8, 1)
}

resource "aws_vpc_peering_connection" "peer" {
  vpc_id      = aws_vpc.side["a"].id
  peer_vpc_id = aws_vpc.side["b"].id
  auto_accept = true

  requester {
    allow_remote_vpc_dns_resolution = true
  }
  accepter {
    allow_remote_vpc_dns_resolution = true
  }
  tags = { Name = "a-to-b" }
}

resource "aws_route_table" "side" {
  for_each = local.sides
  vpc_id   = aws_vpc.side[each.key].id
  route {
    cidr_block                = local.peer[each.key]
    vpc_peering_connection_id = aws_vpc_peering_connection.peer.id
  }
}

resource "aws_route_table_association" "side" {
  for_each       = local.sides
  subnet_id      = aws_subnet.side[each.key].id
  route_table_id = aws_route_table.side[each.key].id
}

resource "aws_security_group" "client" {
  name        = "client"
  description = "asks the web server of the peer"
  vpc_id      = aws_vpc.side["a"].id
  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_security_group" "web" {
  name        = "web"
  description = "answers the clients of the peer, by their group"
  vpc_id      = aws_vpc.side["b"].id
}

resource "aws_vpc_security_group_ingress_rule" "web" {
  security_group_id            = aws_security_group.web.id
  referenced_security_group_id = aws_security_group.client.id
  ip_protocol                  = "tcp"
  from_port                    = 80
  to_port                      = 80
  # A group of a peer can be named only while the peering is active.
  depends_on = [aws_vpc_peering_connection.peer]
}

resource "aws_instance" "client" {
  ami                    = "ami-0123456789abcdef0"
  instance_type          = "t3.micro"
  subnet_id              = aws_subnet.side["a"].id
  private_ip             = "10.16.1.10"
  vpc_security_group_ids = [aws_security_group.client.id]
}

resource "aws_instance" "web" {
  ami                    = "ami-0123456789abcdef0"
  instance_type          = "t3.micro"
  subnet_id              = aws_subnet.side["b"].id
  private_ip             = "10.17.1.10"
  vpc_security_group_ids = [aws_security_group.web.id]
  user_data              = <<-EOT
    #!/bin/sh
    mkdir -p /srv && cd /srv && echo "hello from the peer" > index.html && exec python3 -m http.server 80
  EOT
}

output "peering" {
  value = aws_vpc_peering_connection.peer.id
}

output "client" {
  value = aws_instance.client.id
}

output "web" {
  value = aws_instance.web.private_ip
}
