# A role that the builds of one Bitrise app can assume, and its permissions.
#
#   terraform apply -var app_slug=0123456789abcdef -var workflow=deploy -var repository_name=my-app

terraform {
  required_version = ">= 1.0"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # Since 6.0, aws_region has the attribute region, and OIDC providers need no thumbprints because AWS verifies the
      # certificate with its own list of authorities.
      version = ">= 6.0"
    }
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  issuer    = "token.builds.bitrise.io"
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
}

# Makes the account recognize Bitrise's identity tokens. An account has only one. It grants no access.
resource "aws_iam_openid_connect_provider" "bitrise" {
  count          = var.create_oidc_provider ? 1 : 0
  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"] # the audience of the identity token, as in the Step's input "audience"
}

resource "aws_iam_role" "bitrise" {
  name       = var.role_name
  depends_on = [aws_iam_openid_connect_provider.bitrise]

  # Every build of the app that runs the workflow can assume the role. AWS's documentation does not list app_slug and workflow as
  # condition keys for Bitrise, so AWS may reject every build. See docs/trust-policies.md before you change the conditions.
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = "arn:${local.partition}:iam::${local.account}:oidc-provider/${local.issuer}" }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.issuer}:aud"      = "sts.amazonaws.com"
          "${local.issuer}:app_slug" = var.app_slug
          "${local.issuer}:workflow" = var.workflow
        }
      }
    }]
  })
}

# Permissions. Each policy is created only if its variable is set.

resource "aws_iam_role_policy" "push" {
  count = var.repository_name == "" ? 0 : 1
  name  = "push-to-ecr"
  role  = aws_iam_role.bitrise.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # Logging in (docker_login) applies to the whole registry. AWS has no narrower resource for it.
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
      {
        # https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html, plus the action to pull.
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability",
          "ecr:BatchGetImage",
          "ecr:CompleteLayerUpload",
          "ecr:GetDownloadUrlForLayer",
          "ecr:InitiateLayerUpload",
          "ecr:PutImage",
          "ecr:UploadLayerPart",
        ]
        Resource = "arn:${local.partition}:ecr:${data.aws_region.current.region}:${local.account}:repository/${var.repository_name}"
      },
    ]
  })
}

resource "aws_iam_role_policy" "upload" {
  count = var.bucket_name == "" ? 0 : 1
  name  = "upload-to-s3"
  role  = aws_iam_role.bitrise.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "s3:PutObject"
      Resource = "arn:${local.partition}:s3:::${var.bucket_name}/*"
    }]
  })
}

resource "aws_iam_role_policy" "next_role" {
  count = var.next_role_arn == "" ? 0 : 1
  name  = "assume-the-next-role"
  role  = aws_iam_role.bitrise.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "sts:AssumeRole"
      Resource = var.next_role_arn
    }]
  })
}

output "role_arn" {
  description = "The value of the Step's input role_arn."
  value       = aws_iam_role.bitrise.arn
}
