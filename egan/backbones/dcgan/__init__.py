"""DCGAN: its networks, its layers, and their faster arithmetic."""
