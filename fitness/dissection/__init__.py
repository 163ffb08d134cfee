"""GAN dissection, Bau et al., arXiv 1811.10597: what a generator's units make, in numbers."""
