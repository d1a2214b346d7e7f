variable "app_slug" {
  description = "The app's slug, which is part of the URL of its page on Bitrise."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-Za-z-]+$", var.app_slug))
    error_message = "Must be an app's slug: letters, digits, and hyphens."
  }
}

variable "subject_pattern" {
  description = "The sub claim of the app's builds, from the Step's verbose log, with * in place of what changes from build to build."
  type        = string

  # The whole slug before the first wildcard. This keeps patterns such as * and app:* out, which would admit other apps.
  validation {
    condition     = can(regex("^([^*?$]*[^0-9A-Za-z_.*?$-])?${var.app_slug}([^0-9A-Za-z_.*?$-][^$]*)?$", var.subject_pattern))
    error_message = "Must contain the app's slug before the first wildcard, such as app:0123456789abcdef:*."
  }
}

variable "workflow" {
  description = "Only builds of this workflow can assume the role, if AWS evaluates the workflow claim. Empty: every workflow."
  type        = string
  default     = ""
}

variable "role_name" {
  description = "Name of the role."
  type        = string
  default     = "bitrise-deploy"
}

variable "create_oidc_provider" {
  description = "Whether to create the OIDC provider. An account can have only one for Bitrise: set it to false if it exists."
  type        = bool
  default     = true
}

variable "repository_name" {
  description = "The ECR repository that builds can push to and pull from. Empty: none."
  type        = string
  default     = ""
}

variable "bucket_name" {
  description = "The S3 bucket that builds can upload to. Empty: none."
  type        = string
  default     = ""
}

variable "next_role_arn" {
  description = "The role, usually in another account, that builds can assume next, with role_chain. Empty: none."
  type        = string
  default     = ""
}
