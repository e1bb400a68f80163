# Can the client reach the web server of the peer? The answer is an output.
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

variable "return_route" {
  description = "Whether the peer has a route home. Without it a request arrives and its answer does not."
  type        = bool
  default     = true
}

provider "aws" {
  region                  = "us-east-1"
  access_key              = var.account
  secret_key              = "any-secret"
  skip_metadata_api_check = true
}

locals {
  sides = { a = "10.16.0.0/16", b = "10.17.0.0/16" }
}

resource "aws_vpc" "side" {
  for_each   = local.sides
  cidr_block = each.value
  tags       = { Name = each.key }
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
}

resource "aws_route" "there" {
  route_table_id            = aws_vpc.side["a"].main_route_table_id
  destination_cidr_block    = local.sides["b"]
  vpc_peering_connection_id = aws_vpc_peering_connection.peer.id
}

resource "aws_route" "home" {
  count                     = var.return_route ? 1 : 0
  route_table_id            = aws_vpc.side["b"].main_route_table_id
  destination_cidr_block    = local.sides["a"]
  vpc_peering_connection_id = aws_vpc_peering_connection.peer.id
}

resource "aws_security_group" "web" {
  name        = "web"
  description = "answers the peer"
  vpc_id      = aws_vpc.side["b"].id
  ingress {
    protocol    = "tcp"
    from_port   = 80
    to_port     = 80
    cidr_blocks = [local.sides["a"]]
  }
}

resource "aws_instance" "client" {
  ami           = "ami-0123456789abcdef0"
  instance_type = "t3.micro"
  subnet_id     = aws_subnet.side["a"].id
  tags          = { Name = "client" }
}

resource "aws_instance" "web" {
  ami                    = "ami-0123456789abcdef0"
  instance_type          = "t3.micro"
  subnet_id              = aws_subnet.side["b"].id
  vpc_security_group_ids = [aws_security_group.web.id]
  tags                   = { Name = "web" }
}

resource "aws_ec2_network_insights_path" "web" {
  source           = aws_instance.client.id
  destination      = aws_instance.web.arn
  protocol         = "tcp"
  destination_port = 80
  tags             = { Name = "client-to-web" }
}

resource "aws_ec2_network_insights_analysis" "web" {
  network_insights_path_id = aws_ec2_network_insights_path.web.id
  wait_for_completion      = true
  # An analysis is of its moment: it comes after all that it looks at.
  depends_on = [aws_route.there, aws_route.home]
}

output "path_found" {
  value = aws_ec2_network_insights_analysis.web.path_found
}

output "way" {
  value = [for stage in aws_ec2_network_insights_analysis.web.forward_path_components : stage.component[0].id]
}

output "explanations" {
  value = [for found in aws_ec2_network_insights_analysis.web.explanations : found.explanation_code]
}
