"""Many runs at once: their placement and their processes."""
