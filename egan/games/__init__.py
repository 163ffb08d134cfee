"""What is generated from what: the games that the engine plays."""
