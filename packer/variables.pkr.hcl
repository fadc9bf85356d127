variable "rpm" {
  type        = string
  description = "The package that scripts/package made, for the same architecture."
}

variable "arch" {
  type        = string
  default     = "x86_64"
  description = "The architecture: x86_64 or arm64."

  validation {
    condition     = var.arch == "x86_64" || var.arch == "arm64"
    error_message = "The architecture is x86_64 or arm64."
  }
}

variable "region" {
  type        = string
  default     = "ap-northeast-1"
  description = "The region in which the image is made."
}

variable "profile" {
  type        = string
  default     = ""
  description = "A profile of the AWS CLI."
}

variable "kms_key_id" {
  type        = string
  default     = "alias/aws/ebs"
  description = "The key that encrypts the image. One of your own can be shared with other accounts."
}

variable "builder_cidr" {
  type        = string
  default     = "0.0.0.0/0"
  description = "From where Packer reaches the machine that it builds on, while it builds: your own address is better."
}
