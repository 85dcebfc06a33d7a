terraform {
  # OpenTofu, or Terraform.
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account]
  default_tags {
    tags = {
      platform    = "once"
      environment = var.environment
    }
  }
}
