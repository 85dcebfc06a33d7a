# Empty: their values are put in by hand, and are in no state (docs/kubernetes.md says which).
resource "aws_secretsmanager_secret" "needed" {
  for_each    = toset(["argocd", "store-smoke", "ledger-backup"])
  name        = "once/${var.environment}/${each.key}"
  description = "Once ${var.environment}: see docs/kubernetes.md#secrets-that-must-be-there"
}

# store.DOMAIN gets its record when the Gateway has an address.
resource "aws_route53_zone" "once" {
  name = var.domain
}
