"""Networks of image translation: U-Net and ResNet generators, PatchGAN critics."""
