output "kubeconfig" {
  description = "What makes kubectl talk to it."
  value       = "aws eks update-kubeconfig --region ${var.region} --name ${aws_eks_cluster.once.name}"
}

output "name_servers" {
  description = "To be named where DOMAIN is registered."
  value       = aws_route53_zone.once.name_servers
}

output "environment" {
  description = "Writes the overlays with the same names."
  value = join(" ", [
    "make environment NAME=${var.environment}",
    "ARGS=\"--domain ${var.domain} --account ${var.account}",
    "--region ${var.region} --bucket ${aws_s3_bucket.backups.bucket} --repository OWNER/NAME\"",
  ])
}
