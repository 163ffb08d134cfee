"""Tensors in, numbers out: the scores of a generator."""
