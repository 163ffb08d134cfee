"""Evolutionary GANs: state, engine, games, mutations, critics, networks, data."""
