# An instance with all that people set beside its network: volumes with tags, an instance profile, processors. Peerway records these;
# the second plan is empty. Needs AWS_ENDPOINT_URL, as `peerway up` prints it.

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
    tags = { Example = "instance-volumes" }
  }
}

data "aws_ami" "linux" {
  most_recent = true
  owners      = ["amazon"]
  filter {
    name   = "name"
    values = ["al2023-ami-2023.*-x86_64"]
  }
}

resource "aws_vpc" "this" {
  cidr_block = "10.16.0.0/16"
}

resource "aws_subnet" "this" {
  vpc_id            = aws_vpc.this.id
  cidr_block        = "10.16.1.0/24"
  availability_zone = "us-east-1a"
}

resource "aws_instance" "this" {
  ami                  = data.aws_ami.linux.id
  instance_type        = "t3.micro"
  subnet_id            = aws_subnet.this.id
  iam_instance_profile = "web"

  cpu_options {
    core_count       = 1
    threads_per_core = 2
  }

  root_block_device {
    volume_size = 20
    volume_type = "gp3"
    throughput  = 250
    tags        = { Name = "root" }
  }

  ebs_block_device {
    device_name           = "/dev/sdf"
    volume_size           = 5
    volume_type           = "gp2"
    delete_on_termination = true
    tags                  = { Name = "data" }
  }

  tags = { Name = "web" }
}

output "instance" {
  value = aws_instance.this.id
}

output "root_volume" {
  value = aws_instance.this.root_block_device[0].volume_id
}
