# A private hosted zone of one account that holds in a VPC of another account too.
# Needs AWS_ENDPOINT_URL, as `peerway up` prints it.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "owner" {
  description = "Account id of the zone's owner; in the lenient mode of peerway up it is the access key."
  type        = string
  default     = "111111111111"
}

variable "guest" {
  description = "Account id of the side whose VPC is added."
  type        = string
  default     = "222222222222"
}

provider "aws" {
  region                  = "us-east-1"
  access_key              = var.owner
  secret_key              = "any-secret"
  skip_metadata_api_check = true
}

provider "aws" {
  alias                   = "guest"
  region                  = "eu-west-1"
  access_key              = var.guest
  secret_key              = "any-secret"
  skip_metadata_api_check = true
}

resource "aws_vpc" "owner" {
  cidr_block           = "10.16.0.0/16"
  enable_dns_hostnames = true
}

resource "aws_vpc" "guest" {
  provider             = aws.guest
  cidr_block           = "10.17.0.0/16"
  enable_dns_hostnames = true
}

resource "aws_route53_zone" "corp" {
  name = "corp.example"
  tags = { team = "network" }
  vpc {
    vpc_id = aws_vpc.owner.id
  }
  lifecycle {
    # The other account's VPC is added below.
    ignore_changes = [vpc]
  }
}

resource "aws_route53_vpc_association_authorization" "guest" {
  zone_id    = aws_route53_zone.corp.zone_id
  vpc_id     = aws_vpc.guest.id
  vpc_region = "eu-west-1"
}

resource "aws_route53_zone_association" "guest" {
  provider   = aws.guest
  zone_id    = aws_route53_vpc_association_authorization.guest.zone_id
  vpc_id     = aws_route53_vpc_association_authorization.guest.vpc_id
  vpc_region = "eu-west-1"
}

resource "aws_route53_record" "db" {
  zone_id = aws_route53_zone.corp.zone_id
  name    = "db"
  type    = "A"
  ttl     = 60
  records = ["10.16.1.10"]
}

resource "aws_route53_record" "any" {
  zone_id = aws_route53_zone.corp.zone_id
  name    = "*.apps.corp.example"
  type    = "CNAME"
  ttl     = 300
  records = ["db.corp.example"]
}

resource "aws_route53_record" "note" {
  zone_id = aws_route53_zone.corp.zone_id
  name    = "corp.example"
  type    = "TXT"
  ttl     = 300
  records = ["a note", "another one"]
}

output "zone" {
  value = aws_route53_zone.corp.zone_id
}
