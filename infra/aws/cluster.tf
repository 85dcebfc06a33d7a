# Kubernetes, managed, with its nodes in one group per zone: volumes stay in their zone, so a
# node that goes must come back there.
resource "aws_iam_role" "cluster" {
  name = "${local.name}-cluster"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { Service = "eks.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
}

resource "aws_eks_cluster" "once" {
  name                      = local.name
  version                   = var.kubernetes_version
  role_arn                  = aws_iam_role.cluster.arn
  enabled_cluster_log_types = ["api", "audit", "authenticator"]

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = true
  }

  vpc_config {
    subnet_ids              = [for subnet in aws_subnet.private : subnet.id]
    endpoint_private_access = true
    endpoint_public_access  = length(var.admin_networks) > 0
    public_access_cidrs     = length(var.admin_networks) > 0 ? var.admin_networks : null
  }

  encryption_config {
    resources = ["secrets"]
    provider { key_arn = aws_kms_key.data.arn }
  }

  depends_on = [aws_iam_role_policy_attachment.cluster]
}

resource "aws_iam_role" "node" {
  name = "${local.name}-node"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each = toset([
    "AmazonEC2ContainerRegistryReadOnly",
    "AmazonEKSWorkerNodePolicy",
    "AmazonEKS_CNI_Policy",
  ])
  role       = aws_iam_role.node.name
  policy_arn = "arn:aws:iam::aws:policy/${each.key}"
}

# Pods reach no credentials of their node: IMDSv2, and one hop.
resource "aws_launch_template" "node" {
  name_prefix = "${local.name}-"
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size = 100
      volume_type = "gp3"
      encrypted   = true
    }
  }
}

resource "aws_eks_node_group" "zone" {
  for_each        = aws_subnet.private
  cluster_name    = aws_eks_cluster.once.name
  node_group_name = "${local.name}-${each.key}"
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = [each.value.id]
  instance_types  = [var.instance_type]
  version         = var.kubernetes_version

  launch_template {
    id      = aws_launch_template.node.id
    version = aws_launch_template.node.latest_version
  }

  # One more than needed while nodes are replaced.
  scaling_config {
    min_size     = var.nodes_per_zone
    desired_size = var.nodes_per_zone
    max_size     = var.nodes_per_zone + 1
  }

  update_config {
    max_unavailable = 1
  }

  depends_on = [aws_iam_role_policy_attachment.node, aws_eks_addon.network]
}

# Without enforcement NetworkPolicies are text.
resource "aws_eks_addon" "network" {
  cluster_name         = aws_eks_cluster.once.name
  addon_name           = "vpc-cni"
  configuration_values = jsonencode({ enableNetworkPolicy = "true" })
}

resource "aws_eks_addon" "needed" {
  for_each     = toset(["coredns", "kube-proxy"])
  cluster_name = aws_eks_cluster.once.name
  addon_name   = each.key
  depends_on   = [aws_eks_node_group.zone]
}

resource "aws_eks_addon" "volumes" {
  cluster_name             = aws_eks_cluster.once.name
  addon_name               = "aws-ebs-csi-driver"
  service_account_role_arn = aws_iam_role.workload["volumes"].arn
  depends_on               = [aws_eks_node_group.zone]
}
