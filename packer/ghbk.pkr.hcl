# An image of Amazon Linux 2023 with ghbk in it: `packer init packer && packer build -var rpm=target/ghbk-….rpm packer`.
# It holds nothing secret and no state; what an instance needs to know, CloudFormation tells it at its first boot.

locals {
  instance_types = {
    x86_64 = "t3.small"
    arm64  = "t4g.small"
  }
  built = formatdate("YYYYMMDD-hhmmss", timestamp())
}

source "amazon-ebs" "ghbk" {
  ami_name        = "ghbk-${var.arch}-${local.built}"
  ami_description = "Amazon Linux 2023 with ghbk, which backs up GitHub repositories onto EFS"
  region          = var.region
  profile         = var.profile
  instance_type   = local.instance_types[var.arch]
  ssh_username    = "ec2-user"
  encrypt_boot    = true
  kms_key_id      = var.kms_key_id

  temporary_security_group_source_cidrs = [var.builder_cidr]

  source_ami_filter {
    owners      = ["amazon"]
    most_recent = true
    filters = {
      name                = "al2023-ami-2023.*-${var.arch}"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 16
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    delete_on_termination = true
  }

  # BEGIN since Packer 1.7
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  imds_support = "v2.0"
  # END since Packer 1.7

  tags = {
    Name         = "ghbk"
    Architecture = var.arch
    BaseImage    = "{{ .SourceAMI }}"
  }
}

build {
  sources = ["source.amazon-ebs.ghbk"]

  provisioner "file" {
    source      = var.rpm
    destination = "/tmp/ghbk.rpm"
  }

  provisioner "shell" {
    script          = "${path.root}/provision.sh"
    execute_command = "sudo bash {{ .Path }}"
  }
}
