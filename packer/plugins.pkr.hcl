# Apart from the rest: Packer before 1.7 brings its builders along and refuses this block.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0"
    }
  }
}
