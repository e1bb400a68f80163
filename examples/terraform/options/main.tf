# What each side of a peering allows: whether the names of one VPC answer with private addresses when the other one asks.
# Each account says it of its own side. Needs AWS_ENDPOINT_URL, as `peerway up` prints it.

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

variable "private_names" {
  description = "For each side: does its own VPC's resolver tell the peer private addresses?"
  type        = object({ requester = bool, accepter = bool })
  default     = { requester = true, accepter = true }
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
  region                  = "us-east-1"
  access_key              = var.requester
  secret_key              = "any-secret"
  skip_metadata_api_check = true
  assume_role {
    role_arn     = "arn:aws:iam::${var.accepter}:role/network"
    session_name = "terraform"
  }
}

resource "aws_vpc" "a" {
  cidr_block           = "10.16.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = "a" }
}

resource "aws_vpc" "b" {
  provider             = aws.accepter
  cidr_block           = "10.17.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = "b" }
}

resource "aws_vpc_peering_connection" "request" {
  vpc_id        = aws_vpc.a.id
  peer_vpc_id   = aws_vpc.b.id
  peer_owner_id = var.accepter
}

resource "aws_vpc_peering_connection_accepter" "accept" {
  provider                  = aws.accepter
  vpc_peering_connection_id = aws_vpc_peering_connection.request.id
  auto_accept               = true
}

# Options belong to an active peering: they name the accepter's id, so that Terraform waits for it.

resource "aws_vpc_peering_connection_options" "requester" {
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.accept.id
  requester {
    allow_remote_vpc_dns_resolution = var.private_names.requester
  }
}

resource "aws_vpc_peering_connection_options" "accepter" {
  provider                  = aws.accepter
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.accept.id
  accepter {
    allow_remote_vpc_dns_resolution = var.private_names.accepter
  }
}

output "peering" {
  value = aws_vpc_peering_connection_accepter.accept.id
}
