"""Tournaments small enough to be played again and again."""

import pytest
import yaml

from runs.tournament.config import Tournament, parse_tournament

TINY = """
base:
  name: tiny
  seed: 5
  generations: 100
  data: {source: gaussians, modes: grid25, sigma: 0.2}
  backbone: {name: mlp, width: 8, depth: 1}
  population: {batch: 32, mutations: [heuristic]}
  fitness: {batch: 8}
  execution: {executor: local}
  evaluation: {every: 10, metrics: [modes, kl], count: 100}
  tracking: {enabled: false}
count: 2
steps: 200
genes: wide
judge: {samples: 64, reals: 64}
insurance: {checks: 2}
"""


@pytest.fixture(scope="session")
def tiny_text() -> str:
    return TINY


@pytest.fixture
def tiny(tmp_path):
    """A tournament of two islands, changed by the texts that it is called with."""

    def make(**changes: str) -> Tournament:
        values = yaml.safe_load(TINY)
        values |= {key: yaml.safe_load(value) for key, value in changes.items()}
        return parse_tournament(yaml.safe_dump(values), "tiny.yaml", tmp_path)

    return make
