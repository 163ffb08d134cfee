"""Replicas on Ray workers. Only this package imports Ray."""
