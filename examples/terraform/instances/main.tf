# Instances: user data as text, in base64 and changed in place; addresses, metadata, termination protection; one that is stopped.
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

variable "greeting" {
  description = "What the web server answers; a change stops the instance, gives it the new user data and starts it."
  type        = string
  default     = "hello"
}

variable "instance_type" {
  description = "A label; it bounds interfaces and their addresses."
  type        = string
  default     = "t3.micro"
}

variable "protected" {
  description = "Whether the web server can be terminated."
  type        = bool
  default     = false
}

provider "aws" {
  region                  = "us-east-1"
  access_key              = var.account
  secret_key              = "any-secret"
  skip_metadata_api_check = true
  default_tags {
    tags = { Example = "instances" }
  }
}

resource "aws_vpc" "this" {
  cidr_block           = "10.16.0.0/16"
  enable_dns_hostnames = true
}

resource "aws_subnet" "this" {
  vpc_id     = aws_vpc.this.id
  cidr_block = "10.16.1.0/24"
}

resource "aws_security_group" "inside" {
  name   = "inside"
  vpc_id = aws_vpc.this.id

  ingress {
    protocol  = "-1"
    from_port = 0
    to_port   = 0
    self      = true
  }
  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_instance" "web" {
  ami                                  = "ami-0123456789abcdef0"
  instance_type                        = var.instance_type
  subnet_id                            = aws_subnet.this.id
  private_ip                           = "10.16.1.10"
  secondary_private_ips                = ["10.16.1.11"]
  vpc_security_group_ids               = [aws_security_group.inside.id]
  instance_initiated_shutdown_behavior = "stop"
  disable_api_termination              = var.protected
  user_data                            = <<-EOT
    #!/bin/sh
    mkdir -p /srv && cd /srv && echo "${var.greeting}" > index.html && exec python3 -m http.server 80
  EOT

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "enabled"
  }
  tags = { Name = "web" }
}

resource "aws_instance" "worker" {
  for_each               = toset(["one", "two"])
  ami                    = "ami-0123456789abcdef0"
  instance_type          = "t3.micro"
  subnet_id              = aws_subnet.this.id
  vpc_security_group_ids = [aws_security_group.inside.id]
  user_data_base64       = base64encode("#!/bin/sh\nwhile sleep 1; do curl -s http://10.16.1.10/; done\n")
  # Other user data is another instance.
  user_data_replace_on_change = true
  tags                        = { Name = each.key }
}

resource "aws_ec2_instance_state" "resting" {
  instance_id = aws_instance.worker["two"].id
  state       = "stopped"
}

data "aws_instances" "running" {
  filter {
    name   = "subnet-id"
    values = [aws_subnet.this.id]
  }
  instance_state_names = ["running"]
  depends_on           = [aws_ec2_instance_state.resting, aws_instance.web]
}

output "web" {
  value = aws_instance.web.id
}

output "workers" {
  value = { for name, worker in aws_instance.worker : name => worker.id }
}

output "running" {
  value = sort(data.aws_instances.running.ids)
}
