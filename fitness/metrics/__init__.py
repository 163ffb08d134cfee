"""Metrics of samples against real data: tensors in, numbers out."""
