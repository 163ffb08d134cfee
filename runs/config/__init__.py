"""A run's configuration: its keys, how it is read, and how mistakes are explained."""
