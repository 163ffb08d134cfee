"""The display of a run: progress, plots, `inspect`."""
