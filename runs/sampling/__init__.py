"""Samples of a run: grids, arrays, and the tools of the latent space."""
