"""What a user sees of a run: progress, plots, `inspect`."""
