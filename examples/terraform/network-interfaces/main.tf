# A router between two subnets: an instance that Terraform gives its first interface at launch and a second one afterwards, with
# secondary and IPv6 addresses. Needs AWS_ENDPOINT_URL, as `peerway up` prints it.

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

variable "floating" {
  description = "The addresses of the second interface, the primary one first."
  type        = list(string)
  default     = ["10.16.2.50", "10.16.2.51"]
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = var.account
  secret_key                  = "any-secret"
  skip_metadata_api_check     = true
  skip_credentials_validation = false
  default_tags {
    tags = { Example = "network-interfaces" }
  }
}

resource "aws_vpc" "this" {
  cidr_block                       = "10.16.0.0/16"
  assign_generated_ipv6_cidr_block = true
}

resource "aws_subnet" "side" {
  for_each          = { left = 1, right = 2 }
  vpc_id            = aws_vpc.this.id
  cidr_block        = cidrsubnet(aws_vpc.this.cidr_block, 8, each.value)
  ipv6_cidr_block   = cidrsubnet(aws_vpc.this.ipv6_cidr_block, 8, each.value)
  availability_zone = "us-east-1a"
  tags              = { Name = each.key }
}

resource "aws_security_group" "router" {
  name   = "router"
  vpc_id = aws_vpc.this.id

  ingress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = [aws_vpc.this.cidr_block]
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_network_interface" "left" {
  subnet_id         = aws_subnet.side["left"].id
  private_ips       = ["10.16.1.50"]
  security_groups   = [aws_security_group.router.id]
  source_dest_check = false
  description       = "the router's foot on the left"
}

resource "aws_network_interface" "right" {
  subnet_id          = aws_subnet.side["right"].id
  private_ips        = var.floating
  ipv6_address_count = 1
  security_groups    = [aws_security_group.router.id]
  source_dest_check  = false
}

resource "aws_instance" "router" {
  ami           = "ami-12345678"
  instance_type = "t3.small"

  network_interface {
    device_index         = 0
    network_interface_id = aws_network_interface.left.id
  }
  tags = { Name = "router" }
}

resource "aws_network_interface_attachment" "right" {
  instance_id          = aws_instance.router.id
  network_interface_id = aws_network_interface.right.id
  device_index         = 1
}

resource "aws_route_table" "side" {
  for_each = {
    left  = { to = aws_subnet.side["right"].cidr_block, by = aws_network_interface.left.id }
    right = { to = aws_subnet.side["left"].cidr_block, by = aws_network_interface.right.id }
  }
  vpc_id = aws_vpc.this.id

  route {
    cidr_block           = each.value.to
    network_interface_id = each.value.by
  }
  depends_on = [aws_network_interface_attachment.right]
}

resource "aws_route_table_association" "side" {
  for_each       = aws_subnet.side
  subnet_id      = each.value.id
  route_table_id = aws_route_table.side[each.key].id
}

output "instance" {
  value = aws_instance.router.id
}

output "interfaces" {
  value = [aws_network_interface.left.id, aws_network_interface.right.id]
}
