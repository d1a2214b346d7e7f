# A role that builds of one app on Bitrise may take, and what it may do.
#
#   terraform apply -var app_slug=0123456789abcdef -var repository_name=my-app

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
      # Here aws_region has the attribute region, and an OIDC provider needs no thumbprints: AWS checks the certificate by
      # its own list of authorities.
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

# Once for an AWS account: tells it that Bitrise's identity tokens are genuine. On its own this admits nobody.
resource "aws_iam_openid_connect_provider" "bitrise" {
  count          = var.create_oidc_provider ? 1 : 0
  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"] # the audience that the Step asks for, its input "audience"
}

resource "aws_iam_role" "bitrise" {
  name       = var.role_name
  depends_on = [aws_iam_openid_connect_provider.bitrise]

  # Who may take the role. Without the line on app_slug, that would be every build of everybody on Bitrise.
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = "arn:${local.partition}:iam::${local.account}:oidc-provider/${local.issuer}" }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = merge(
          {
            "${local.issuer}:aud"      = "sts.amazonaws.com"
            "${local.issuer}:app_slug" = var.app_slug
          },
          var.workflow == "" ? {} : { "${local.issuer}:workflow" = var.workflow },
        )
      }
    }]
  })
}

# What it may do: each policy is there only if its variable is set.

resource "aws_iam_role_policy" "push" {
  count = var.repository_name == "" ? 0 : 1
  name  = "push-to-ecr"
  role  = aws_iam_role.bitrise.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # The login (docker_login) is to the whole registry: AWS knows no narrower resource for it.
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
      {
        # https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html, and one action more to pull.
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
  name  = "take-the-next-role"
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
  description = "The Step's input role_arn."
  value       = aws_iam_role.bitrise.arn
}
