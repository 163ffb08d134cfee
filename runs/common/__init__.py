"""Shared by all packages of `runs`: errors, atomic files, formats, locks, signals."""
