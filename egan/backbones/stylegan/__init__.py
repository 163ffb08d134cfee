"""StyleGAN: its networks, its noise, and weights from other ports."""
