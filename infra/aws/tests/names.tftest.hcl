# Without an account: what has a name in the manifests has it here.
mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  }
}

variables {
  environment = "eu"
  account     = "123456789012"
  domain      = "pay.example.org"
  bucket      = "acme-once-ledger"
}

run "three_zones_with_two_nodes_each" {
  command = plan
  assert {
    condition     = length(aws_eks_node_group.zone) == 3
    error_message = "A node group in each of three zones."
  }
  assert {
    condition     = alltrue([for group in aws_eks_node_group.zone : group.scaling_config[0].min_size == 2])
    error_message = "Two nodes in each zone."
  }
}

run "names_are_those_of_the_overlays" {
  command = plan
  assert {
    condition     = aws_iam_role.workload["secrets"].name == "once-secrets-reader"
    error_message = "The role that argocd/edge names."
  }
  assert {
    condition     = aws_kms_alias.data.name == "alias/once-data"
    error_message = "The key that argocd/namespace names."
  }
  assert {
    condition     = toset(keys(aws_secretsmanager_secret.needed)) == toset(["argocd", "store-smoke", "ledger-backup"])
    error_message = "The secrets that docs/kubernetes.md names."
  }
}

run "one_node_per_zone_is_refused" {
  command = plan
  variables {
    nodes_per_zone = 1
  }
  expect_failures = [var.nodes_per_zone]
}
