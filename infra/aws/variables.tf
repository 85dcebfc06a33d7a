# As in `make environment`, so that both name the same things.
variable "environment" {
  description = "Name of the environment."
  type        = string
  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$", var.environment))
    error_message = "Small letters, digits and hyphens, as in make environment NAME=."
  }
}

variable "account" {
  description = "AWS account, so that nothing is made in another one."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}$", var.account))
    error_message = "Twelve digits."
  }
}

variable "region" {
  description = "Region with at least three zones."
  type        = string
  default     = "eu-central-1"
}

variable "domain" {
  description = "store.DOMAIN and argocd.DOMAIN are to lie here."
  type        = string
}

variable "bucket" {
  description = "For backups. Its name is unique in the world."
  type        = string
}

variable "network" {
  description = "Addresses of the VPC, a /16."
  type        = string
  default     = "10.64.0.0/16"
  validation {
    condition     = can(cidrsubnet(var.network, 4, 5)) && endswith(var.network, "/16")
    error_message = "A network such as 10.64.0.0/16."
  }
}

variable "admin_networks" {
  description = "Who may reach the API server from outside; nobody, unless said."
  type        = list(string)
  default     = []
}

variable "kubernetes_version" {
  description = "Of the control plane and the nodes."
  type        = string
  default     = "1.34"
}

# 8 cores and 32 GiB, six of them: what production asks for, while a node is drained
# (docs/reference/sizes.md, docs/kubernetes.md#sizes; a test holds them to it).
variable "instance_type" {
  description = "Of every node."
  type        = string
  default     = "m7i.2xlarge"
}

variable "nodes_per_zone" {
  description = "With one, a node that is drained may keep a broker from coming back."
  type        = number
  default     = 2
  validation {
    condition     = var.nodes_per_zone >= 2
    error_message = "At least two in each zone."
  }
}

variable "backup_days" {
  description = "For so long nobody can delete a backup; as pgBackRest keeps them."
  type        = number
  default     = 35
}
