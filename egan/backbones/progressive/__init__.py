"""Networks that grow: the schedule, the shared layers, and ProGAN."""
