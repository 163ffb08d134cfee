"""Tournaments: populations of runs that compete, copy each other and change their settings."""
