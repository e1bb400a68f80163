# Two VPCs of two accounts in two regions: one side asks, the other accepts, both route.
# Needs AWS_ENDPOINT_URL, as `peerway up` prints it.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "requester" {
  description = "Account id of the side that asks; in the lenient mode of peerway up it is the access key."
  type        = string
  default     = "111111111111"
}

variable "accepter" {
  description = "Account id of the side that accepts."
  type        = string
  default     = "222222222222"
}

provider "aws" {
  region                  = "us-east-1"
  access_key              = var.requester
  secret_key              = "any-secret"
  skip_metadata_api_check = true
}

# The other account is entered by its role, as people do on AWS.
provider "aws" {
  alias                   = "accepter"
  region                  = "eu-west-1"
  access_key              = var.requester
  secret_key              = "any-secret"
  skip_metadata_api_check = true
  assume_role {
    role_arn     = "arn:aws:iam::${var.accepter}:role/network"
    session_name = "terraform"
  }
}

# The side that asks.

resource "aws_vpc" "a" {
  cidr_block           = "10.16.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = "a" }
}

resource "aws_subnet" "a" {
  vpc_id     = aws_vpc.a.id
  cidr_block = "10.16.1.0/24"
}

resource "aws_vpc_peering_connection" "request" {
  vpc_id        = aws_vpc.a.id
  peer_vpc_id   = aws_vpc.b.id
  peer_owner_id = var.accepter
  peer_region   = "eu-west-1"
  tags          = { Side = "requester" }
}

resource "aws_route" "a" {
  route_table_id            = aws_vpc.a.main_route_table_id
  destination_cidr_block    = aws_vpc.b.cidr_block
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.accept.id
}

resource "aws_instance" "client" {
  ami           = "ami-0123456789abcdef0"
  instance_type = "t3.micro"
  subnet_id     = aws_subnet.a.id
  private_ip    = "10.16.1.10"
}

# The side that accepts.

resource "aws_vpc" "b" {
  provider             = aws.accepter
  cidr_block           = "10.17.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = "b" }
}

resource "aws_vpc_ipv4_cidr_block_association" "b" {
  provider   = aws.accepter
  vpc_id     = aws_vpc.b.id
  cidr_block = "10.27.0.0/16"
}

resource "aws_subnet" "b" {
  provider   = aws.accepter
  vpc_id     = aws_vpc.b.id
  cidr_block = "10.17.1.0/24"
}

resource "aws_vpc_peering_connection_accepter" "accept" {
  provider                  = aws.accepter
  vpc_peering_connection_id = aws_vpc_peering_connection.request.id
  auto_accept               = true
  tags                      = { Side = "accepter" }
  depends_on                = [aws_vpc_ipv4_cidr_block_association.b]
}

resource "aws_vpc_peering_connection_options" "a" {
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.accept.id
  requester {
    allow_remote_vpc_dns_resolution = true
  }
}

resource "aws_vpc_peering_connection_options" "b" {
  provider                  = aws.accepter
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.accept.id
  accepter {
    allow_remote_vpc_dns_resolution = true
  }
}

resource "aws_route_table" "b" {
  provider = aws.accepter
  vpc_id   = aws_vpc.b.id
}

resource "aws_route" "b" {
  provider                  = aws.accepter
  route_table_id            = aws_route_table.b.id
  destination_cidr_block    = aws_vpc.a.cidr_block
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.accept.id
}

resource "aws_route_table_association" "b" {
  provider       = aws.accepter
  subnet_id      = aws_subnet.b.id
  route_table_id = aws_route_table.b.id
}

# Across regions a group of the peer cannot be named, its addresses can.
resource "aws_security_group" "web" {
  provider    = aws.accepter
  name        = "web"
  description = "port 80 from the peer"
  vpc_id      = aws_vpc.b.id
  ingress {
    protocol    = "tcp"
    from_port   = 80
    to_port     = 80
    cidr_blocks = [aws_vpc.a.cidr_block]
  }
  ingress {
    protocol    = "icmp"
    from_port   = -1
    to_port     = -1
    cidr_blocks = [aws_vpc.a.cidr_block]
  }
  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_network_acl" "b" {
  provider   = aws.accepter
  vpc_id     = aws_vpc.b.id
  subnet_ids = [aws_subnet.b.id]
  ingress {
    rule_no    = 100
    action     = "allow"
    protocol   = "-1"
    from_port  = 0
    to_port    = 0
    cidr_block = "10.0.0.0/8"
  }
  egress {
    rule_no    = 100
    action     = "allow"
    protocol   = "-1"
    from_port  = 0
    to_port    = 0
    cidr_block = "10.0.0.0/8"
  }
}

resource "aws_instance" "web" {
  provider               = aws.accepter
  ami                    = "ami-0123456789abcdef0"
  instance_type          = "t3.micro"
  subnet_id              = aws_subnet.b.id
  private_ip             = "10.17.1.10"
  vpc_security_group_ids = [aws_security_group.web.id]
  user_data              = <<-EOT
    #!/bin/sh
    mkdir -p /srv && cd /srv && echo "hello from the peer" > index.html && exec python3 -m http.server 80
  EOT
}

output "peering" {
  value = aws_vpc_peering_connection_accepter.accept.id
}

output "status" {
  value = aws_vpc_peering_connection_accepter.accept.accept_status
}

output "client" {
  value = aws_instance.client.id
}

output "web" {
  value = aws_instance.web.private_ip
}
