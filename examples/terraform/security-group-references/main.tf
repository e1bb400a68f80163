# Groups that name groups: of their own VPC, of themselves, and of a peer's VPC in another account. Within a region a rule can name a
# group of the peer, as ACCOUNT/GROUP. Needs AWS_ENDPOINT_URL, as `peerway up` prints it.

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
  region                  = "us-east-1"
  access_key              = var.requester
  secret_key              = "any-secret"
  skip_metadata_api_check = true
  assume_role {
    role_arn     = "arn:aws:iam::${var.accepter}:role/network"
    session_name = "terraform"
  }
}

resource "aws_vpc" "clients" {
  cidr_block = "10.16.0.0/16"
  tags       = { Name = "clients" }
}

resource "aws_vpc" "servers" {
  provider   = aws.accepter
  cidr_block = "10.17.0.0/16"
  tags       = { Name = "servers" }
}

resource "aws_vpc_peering_connection" "request" {
  vpc_id        = aws_vpc.clients.id
  peer_vpc_id   = aws_vpc.servers.id
  peer_owner_id = var.accepter
}

resource "aws_vpc_peering_connection_accepter" "accept" {
  provider                  = aws.accepter
  vpc_peering_connection_id = aws_vpc_peering_connection.request.id
  auto_accept               = true
}

resource "aws_security_group" "client" {
  name        = "client"
  description = "asks the web servers of the peer"
  vpc_id      = aws_vpc.clients.id
}

# To the peer's group, and to nobody else.
resource "aws_vpc_security_group_egress_rule" "client" {
  security_group_id            = aws_security_group.client.id
  referenced_security_group_id = "${var.accepter}/${aws_security_group.web.id}"
  description                  = "the web servers"
  ip_protocol                  = "tcp"
  from_port                    = 80
  to_port                      = 80
  depends_on                   = [aws_vpc_peering_connection_accepter.accept]
}

resource "aws_security_group" "web" {
  provider    = aws.accepter
  name        = "web"
  description = "answers the clients of the peer"
  vpc_id      = aws_vpc.servers.id
}

resource "aws_vpc_security_group_ingress_rule" "web" {
  provider                     = aws.accepter
  security_group_id            = aws_security_group.web.id
  referenced_security_group_id = "${var.requester}/${aws_security_group.client.id}"
  description                  = "the clients"
  ip_protocol                  = "tcp"
  from_port                    = 80
  to_port                      = 80
  # A group of a peer can be named only while the peering is active.
  depends_on = [aws_vpc_peering_connection_accepter.accept]
}

# The same in one block: the database is asked by the web servers, by its replicas, and from the peer by one group.
resource "aws_security_group" "database" {
  provider    = aws.accepter
  name        = "database"
  description = "answers the web servers"
  vpc_id      = aws_vpc.servers.id

  ingress {
    description     = "queries"
    protocol        = "tcp"
    from_port       = 5432
    to_port         = 5432
    security_groups = [aws_security_group.web.id, "${var.requester}/${aws_security_group.client.id}"]
  }
  ingress {
    description = "replication"
    protocol    = "tcp"
    from_port   = 5433
    to_port     = 5433
    self        = true
  }
  egress {
    protocol  = "-1"
    from_port = 0
    to_port   = 0
    self      = true
  }
  depends_on = [aws_vpc_peering_connection_accepter.accept]
}

output "peering" {
  value = aws_vpc_peering_connection_accepter.accept.id
}

output "groups" {
  value = { client = aws_security_group.client.id, web = aws_security_group.web.id, database = aws_security_group.database.id }
}
