"""Bau et al., arXiv 1811.10597: what the units of a generator make, and what changes without them.

The arithmetic is in `fitness/dissection/`, the segmenters are in `fitness/segmenters/`.
"""
