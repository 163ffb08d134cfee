"""Many runs at once: where they go, and their processes."""
