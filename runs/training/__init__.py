"""The loop, and all that keeps it going."""
