"""Tensors in, numbers out: children's objectives, feature spaces, metrics."""
