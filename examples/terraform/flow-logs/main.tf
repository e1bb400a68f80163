# Flow logs of a VPC, of a subnet and of an interface: what passed, what was refused. AWS's destinations are recorded; the lines go into
# files of the hosts. Needs AWS_ENDPOINT_URL, as `peerway up` prints it.

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
    tags = { Example = "flow-logs" }
  }
}

resource "aws_vpc" "this" {
  cidr_block = "10.16.0.0/16"
}

resource "aws_subnet" "this" {
  vpc_id     = aws_vpc.this.id
  cidr_block = "10.16.1.0/24"
}

resource "aws_network_interface" "this" {
  subnet_id = aws_subnet.this.id
}

resource "aws_cloudwatch_log_group" "flows" {
  name              = "/vpc/refused"
  retention_in_days = 7
}

resource "aws_flow_log" "vpc" {
  vpc_id                   = aws_vpc.this.id
  traffic_type             = "REJECT"
  log_destination          = aws_cloudwatch_log_group.flows.arn
  iam_role_arn             = "arn:aws:iam::${var.account}:role/flow-logs"
  max_aggregation_interval = 60
  tags                     = { Name = "refused" }
}

resource "aws_flow_log" "subnet" {
  subnet_id            = aws_subnet.this.id
  traffic_type         = "ALL"
  log_destination_type = "s3"
  log_destination      = "arn:aws:s3:::flows/subnet/"
}

resource "aws_flow_log" "interface" {
  eni_id               = aws_network_interface.this.id
  traffic_type         = "ALL"
  log_destination_type = "s3"
  log_destination      = "arn:aws:s3:::flows/interface"
  # Terraform must not see the fields' names as its own. The last one is Peerway's: why it was refused.
  log_format = "$${interface-id} $${srcaddr} $${dstaddr} $${action} $${peerway-reason}"
  destination_options {
    file_format                = "plain-text"
    hive_compatible_partitions = true
    per_hour_partition         = true
  }
}

output "flow_logs" {
  value = { vpc = aws_flow_log.vpc.id, subnet = aws_flow_log.subnet.id, interface = aws_flow_log.interface.id }
}
