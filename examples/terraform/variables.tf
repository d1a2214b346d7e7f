variable "app_slug" {
  description = "The app's slug, which is in the address of its page on Bitrise."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-Za-z-]+$", var.app_slug))
    error_message = "An app's slug is letters, digits and hyphens."
  }
}

variable "workflow" {
  description = "Only builds of this workflow may take the role. Empty: every workflow of the app."
  type        = string
  default     = ""
}

variable "role_name" {
  description = "Name of the role."
  type        = string
  default     = "bitrise-deploy"
}

variable "create_oidc_provider" {
  description = "Whether to make the OIDC provider; false if the account has it, because it can have only one for an address."
  type        = bool
  default     = true
}

variable "repository_name" {
  description = "The ECR repository that builds may push to and pull from. Empty: none."
  type        = string
  default     = ""
}

variable "bucket_name" {
  description = "The S3 bucket that builds may upload to. Empty: none."
  type        = string
  default     = ""
}

variable "next_role_arn" {
  description = "The role, usually in another account, that builds may go on to by role_chain. Empty: none."
  type        = string
  default     = ""
}
