"""What an operator made of a parent, and what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from egan.state import Network
from populations.individual import Job

RATIO = "generator/gradient_ratio"  # |adversarial gradient| / |fixed loss's|, of the best child


@dataclass(frozen=True)
class Child:
    """A parent after an operator, or why there is none; `report` is for the record alone."""

    job: Job
    networks: Mapping[str, Network]
    failure: str | None = None
    report: Mapping[str, float] = field(default_factory=dict)


def child_of(
    job: Job,
    networks: Mapping[str, Network],
    step: int,
    loss: float,
    total: float,
    ratio: float | None = None,
) -> Child:
    """Return a child after `step`, with a failure where its loss or weights are not finite.

    `total` tells whether all weights and moments are, see `egan.state.extremes`; `ratio` is that of
    the gradients, if it was computed.
    """
    failure = None
    if not isfinite(loss):
        failure = f"loss is {loss} at step {step}"
    elif not isfinite(total):
        failure = f"weights or moments are not finite after step {step}"
    report = {} if ratio is None or not isfinite(ratio) else {RATIO: ratio}
    return Child(job, networks, failure, report)
