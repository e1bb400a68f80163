# Two VPCs of one account in two regions, peered and routed both ways, with IPv4 and IPv6.
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
  region                  = "us-east-1"
  access_key              = var.account
  secret_key              = "any-secret"
  skip_metadata_api_check = true
  default_tags {
    tags = { Example = "cross-region" }
  }
}

provider "aws" {
  alias                   = "away"
  region                  = "eu-west-1"
  access_key              = var.account
  secret_key              = "any-secret"
  skip_metadata_api_check = true
  default_tags {
    tags = { Example = "cross-region" }
  }
}

data "aws_region" "away" {
  provider = aws.away
}

resource "aws_vpc" "home" {
  cidr_block                       = "10.16.0.0/16"
  assign_generated_ipv6_cidr_block = true
  tags                             = { Name = "home" }
}

resource "aws_vpc" "away" {
  provider                         = aws.away
  cidr_block                       = "10.17.0.0/16"
  assign_generated_ipv6_cidr_block = true
  tags                             = { Name = "away" }
}

resource "aws_subnet" "home" {
  vpc_id                          = aws_vpc.home.id
  cidr_block                      = cidrsubnet(aws_vpc.home.cidr_block, 8, 1)
  ipv6_cidr_block                 = cidrsubnet(aws_vpc.home.ipv6_cidr_block, 8, 1)
  assign_ipv6_address_on_creation = true
}

resource "aws_subnet" "away" {
  provider                        = aws.away
  vpc_id                          = aws_vpc.away.id
  cidr_block                      = cidrsubnet(aws_vpc.away.cidr_block, 8, 1)
  ipv6_cidr_block                 = cidrsubnet(aws_vpc.away.ipv6_cidr_block, 8, 1)
  assign_ipv6_address_on_creation = true
}

# Across regions nobody can accept in the same breath: the other region accepts.
resource "aws_vpc_peering_connection" "request" {
  vpc_id      = aws_vpc.home.id
  peer_vpc_id = aws_vpc.away.id
  peer_region = data.aws_region.away.name
  tags        = { Name = "home-to-away", Side = "requester" }
}

resource "aws_vpc_peering_connection_accepter" "accept" {
  provider                  = aws.away
  vpc_peering_connection_id = aws_vpc_peering_connection.request.id
  auto_accept               = true
  tags                      = { Name = "home-to-away", Side = "accepter" }
}

# What each region knows of the peering by itself.
data "aws_vpc_peering_connection" "home" {
  id = aws_vpc_peering_connection_accepter.accept.id
}

data "aws_vpc_peering_connection" "away" {
  provider = aws.away
  id       = aws_vpc_peering_connection_accepter.accept.id
}

resource "aws_route_table" "home" {
  vpc_id = aws_vpc.home.id
  route {
    cidr_block                = aws_vpc.away.cidr_block
    vpc_peering_connection_id = aws_vpc_peering_connection_accepter.accept.id
  }
  route {
    ipv6_cidr_block           = aws_vpc.away.ipv6_cidr_block
    vpc_peering_connection_id = aws_vpc_peering_connection_accepter.accept.id
  }
}

resource "aws_route_table" "away" {
  provider = aws.away
  vpc_id   = aws_vpc.away.id
  route {
    cidr_block                = aws_vpc.home.cidr_block
    vpc_peering_connection_id = aws_vpc_peering_connection_accepter.accept.id
  }
  route {
    ipv6_cidr_block           = aws_vpc.home.ipv6_cidr_block
    vpc_peering_connection_id = aws_vpc_peering_connection_accepter.accept.id
  }
}

resource "aws_route_table_association" "home" {
  subnet_id      = aws_subnet.home.id
  route_table_id = aws_route_table.home.id
}

resource "aws_route_table_association" "away" {
  provider       = aws.away
  subnet_id      = aws_subnet.away.id
  route_table_id = aws_route_table.away.id
}

# Across regions a group of the peer cannot be named, its addresses can.
resource "aws_security_group" "away" {
  provider    = aws.away
  name        = "answers-home"
  description = "echo requests from the other region"
  vpc_id      = aws_vpc.away.id
}

resource "aws_vpc_security_group_ingress_rule" "away" {
  provider          = aws.away
  security_group_id = aws_security_group.away.id
  cidr_ipv4         = aws_vpc.home.cidr_block
  ip_protocol       = "icmp"
  from_port         = -1
  to_port           = -1
}

resource "aws_vpc_security_group_ingress_rule" "away_ipv6" {
  provider          = aws.away
  security_group_id = aws_security_group.away.id
  cidr_ipv6         = aws_vpc.home.ipv6_cidr_block
  ip_protocol       = "icmpv6"
  from_port         = -1
  to_port           = -1
}

resource "aws_instance" "home" {
  ami           = "ami-0123456789abcdef0"
  instance_type = "t3.micro"
  subnet_id     = aws_subnet.home.id
  tags          = { Name = "home" }
}

resource "aws_instance" "away" {
  provider               = aws.away
  ami                    = "ami-0123456789abcdef0"
  instance_type          = "t3.micro"
  subnet_id              = aws_subnet.away.id
  vpc_security_group_ids = [aws_security_group.away.id]
  tags                   = { Name = "away" }
}

output "peering" {
  value = aws_vpc_peering_connection.request.id
}

output "status" {
  value = { home = data.aws_vpc_peering_connection.home.status, away = data.aws_vpc_peering_connection.away.status }
}

output "try" {
  value = "peerway exec ${aws_instance.home.id} -- ping -c1 ${aws_instance.away.private_ip}"
}
