"""Training: the loop, resuming, forking, stopping, and where replicas run."""
