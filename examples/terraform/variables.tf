variable "app_slug" {
  description = "The app's slug, which is in the URL of its page on Bitrise, https://app.bitrise.io/app/SLUG."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-Za-z-]+$", var.app_slug))
    error_message = "Must be an app's slug: letters, digits, and hyphens."
  }
}

variable "workflow" {
  description = "Only builds of this workflow can assume the role."
  type        = string

  validation {
    condition     = can(regex("^[^$]+$", var.workflow)) # IAM replaces variables, such as ${aws:username}
    error_message = "Must be the name of a workflow."
  }
}

variable "role_name" {
  description = "Name of the role."
  type        = string
  default     = "bitrise-deploy"
}

variable "create_oidc_provider" {
  description = "Whether to create the OIDC provider. An account can have only one for Bitrise, so set this to false if it exists."
  type        = bool
  default     = true
}

variable "repository_name" {
  description = "The ECR repository that builds can push to and pull from. Optional."
  type        = string
  default     = ""
}

variable "bucket_name" {
  description = "The S3 bucket that builds can upload to. Optional."
  type        = string
  default     = ""
}

variable "next_role_arn" {
  description = "The role, usually in another account, that builds can assume next, with role_chain. Optional."
  type        = string
  default     = ""
}
