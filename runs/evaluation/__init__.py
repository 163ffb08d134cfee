"""Metrics of a run, or of any images, against real data."""
