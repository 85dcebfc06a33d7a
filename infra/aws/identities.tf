# What a pod may do in AWS, by its service account and no node's role.
resource "aws_iam_openid_connect_provider" "cluster" {
  url            = aws_eks_cluster.once.identity[0].oidc[0].issuer
  client_id_list = ["sts.amazonaws.com"]
}

locals {
  issuer  = replace(aws_iam_openid_connect_provider.cluster.url, "https://", "")
  secrets = "arn:aws:secretsmanager:${var.region}:${var.account}:secret:once/${var.environment}"
  # Their names are in the overlays: argocd/edge, argocd/secrets.
  workloads = {
    secrets = {
      role            = "once-secrets-reader"
      service_account = "once:secrets-reader"
    }
    argocd = {
      role            = "once-argocd-secrets-reader"
      service_account = "argocd:secrets-reader"
    }
    volumes = {
      role            = "${local.name}-volumes"
      service_account = "kube-system:ebs-csi-controller-sa"
    }
  }
}

resource "aws_iam_role" "workload" {
  for_each = local.workloads
  name     = each.value.role
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = aws_iam_openid_connect_provider.cluster.arn }
      Condition = {
        StringEquals = {
          "${local.issuer}:sub" = "system:serviceaccount:${each.value.service_account}"
          "${local.issuer}:aud" = "sts.amazonaws.com"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "secrets" {
  for_each = {
    secrets = "${local.secrets}/*"
    argocd  = "${local.secrets}/argocd-*" # and the six letters that AWS adds
  }
  name = "read"
  role = aws_iam_role.workload[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
      Resource = each.value
    }]
  })
}

resource "aws_iam_role_policy_attachment" "volumes" {
  role       = aws_iam_role.workload["volumes"].name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"
}

resource "aws_iam_role_policy" "volumes" {
  name = "encrypt"
  role = aws_iam_role.workload["volumes"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource = aws_kms_key.data.arn
      },
      {
        Effect    = "Allow"
        Action    = "kms:CreateGrant"
        Resource  = aws_kms_key.data.arn
        Condition = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
      },
    ]
  })
}
