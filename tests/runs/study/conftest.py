"""Small studies, and records of runs made by hand."""

from collections.abc import Mapping

import pytest

from runs.store.budgets import AXES
from runs.study.loading import parse_study
from runs.study.records import Point, Record
from runs.study.study import Study

METRIC = "high-quality-pixels-100"


def make_record(
    strategy: str, seed: int, *values: float, steps: int = 1, metric: str = METRIC, **more
) -> Record:
    """A run scored every 10 generations, whose generations cost `steps` generator steps."""
    points = tuple(
        Point(10 * place, _spent(10 * place, steps), {metric: value})
        for place, value in enumerate(values, 1)
    )
    return Record(strategy, seed, **({"status": "finished", "points": points} | more))


def _spent(generation: int, steps: int) -> Mapping[str, float]:
    prices = dict.fromkeys(AXES, 1.0) | {"generator_steps": float(steps), "images": 64.0}
    return {axis: generation * price for axis, price in prices.items()}


STUDY = """
name: small
base: gaussians8
set:
  population.batch: 8
  fitness.batch: 8
  backbone: {width: 8, depth: 1}
  evaluation.count: 100
  checkpoint: {every: 5, keep: 10}
  tracking.enabled: false
strategies: [evolution, random]
seeds: 2
budget: {generations: 20}
scorings: 4
metrics: [high-quality, modes]
draws: 4
"""


@pytest.fixture
def study(tmp_path) -> Study:
    return parse_study(STUDY, "small.yaml", tmp_path)


@pytest.fixture
def record():
    return make_record


@pytest.fixture(scope="module")
def study_text() -> str:
    return STUDY
