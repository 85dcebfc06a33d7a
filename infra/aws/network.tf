# A network of its own in three zones. Nodes have no public address; each zone has its own
# way out, so that the loss of one takes none of the others along.
data "aws_availability_zones" "here" {
  state = "available"
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  name  = "once-${var.environment}"
  zones = toset(slice(sort(data.aws_availability_zones.here.names), 0, 3))
  # A /20 for the nodes and pods of each zone, a /24 for what faces the internet there.
  private = { for index, zone in sort(local.zones) : zone => cidrsubnet(var.network, 4, index) }
  public  = { for index, zone in sort(local.zones) : zone => cidrsubnet(var.network, 8, 240 + index) }
}

resource "aws_vpc" "once" {
  cidr_block           = var.network
  enable_dns_hostnames = true
  tags                 = { Name = local.name }
}

resource "aws_internet_gateway" "once" {
  vpc_id = aws_vpc.once.id
  tags   = { Name = local.name }
}

resource "aws_subnet" "private" {
  for_each          = local.private
  vpc_id            = aws_vpc.once.id
  availability_zone = each.key
  cidr_block        = each.value
  tags = {
    Name                              = "${local.name}-private-${each.key}"
    "kubernetes.io/role/internal-elb" = "1"
  }
}

resource "aws_subnet" "public" {
  for_each          = local.public
  vpc_id            = aws_vpc.once.id
  availability_zone = each.key
  cidr_block        = each.value
  tags = {
    Name                     = "${local.name}-public-${each.key}"
    "kubernetes.io/role/elb" = "1"
  }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.once.id
  tags   = { Name = "${local.name}-public" }
}

resource "aws_route" "out" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.once.id
}

resource "aws_route_table_association" "public" {
  for_each       = aws_subnet.public
  subnet_id      = each.value.id
  route_table_id = aws_route_table.public.id
}

resource "aws_eip" "nat" {
  for_each = local.zones
  domain   = "vpc"
  tags     = { Name = "${local.name}-${each.key}" }
}

resource "aws_nat_gateway" "zone" {
  for_each      = local.zones
  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = aws_subnet.public[each.key].id
  tags          = { Name = "${local.name}-${each.key}" }
  depends_on    = [aws_route.out]
}

resource "aws_route_table" "private" {
  for_each = local.zones
  vpc_id   = aws_vpc.once.id
  tags     = { Name = "${local.name}-private-${each.key}" }
}

resource "aws_route" "nat" {
  for_each               = local.zones
  route_table_id         = aws_route_table.private[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.zone[each.key].id
}

resource "aws_route_table_association" "private" {
  for_each       = aws_subnet.private
  subnet_id      = each.value.id
  route_table_id = aws_route_table.private[each.key].id
}

# Backups go to the bucket without leaving the network of AWS.
resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.once.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [for table in aws_route_table.private : table.id]
  tags              = { Name = "${local.name}-s3" }
}
