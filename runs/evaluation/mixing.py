"""Weights of a mixture of a run's last survivors, by the held-out metric.

The squared MMD of a mixture is quadratic in its weights w: w' K w - 2 w' b + const, with K the mean
kernel between generators and b that with the reals. So its least value under w >= 0, sum w = 1 is
found exactly, without drawing a sample of any mixture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from runs.common.errors import ConfigError
from runs.evaluation.held_out import RANKING, VERDICT, HeldOutJudge, protocol_of
from runs.sampling.device import Asked, opened_device
from runs.sampling.mixture import Mixture
from runs.sampling.opening import Choice, chosen_snapshot
from runs.sampling.states import sampler_of
from runs.store.folder import RunFolder

MOST = 10  # survivors of which every subset is tried


@dataclass(frozen=True)
class Mixed:
    """A mixture of a snapshot's survivors.

    Attributes:
        sampler: the mixture.
        name: its snapshot, and the weights.
        fitness: on the second draw, of the mixture.
        alone: the same of the best survivor.
        reals: what decided.
    """

    sampler: Mixture
    name: str
    fitness: float
    alone: float
    reals: str


def mix_survivors(folder: RunFolder, choice: Choice, device: Asked = "auto") -> Mixed:
    """Return the mixture of all survivors of a snapshot that the judge likes best.

    Args:
        folder: of the run.
        choice: the snapshot, and whether the survivors' own weights are taken.
        device: where samples are made.

    Raises:
        ConfigError: one survivor, or more than `MOST`; or there is no such snapshot.
    """
    config, card = folder.load_config(), folder.load_data()
    count = config.population.survivors
    if not 2 <= count <= MOST:
        raise ConfigError(
            f"a mixture is of 2 to {MOST} survivors, and the run keeps {count} "
            "(population.survivors)"
        )
    if choice.survivor:
        raise ConfigError("a mixture is of all survivors: leave --survivor out")
    exported, name = chosen_snapshot(folder, choice.snapshot)
    on = opened_device(device, config.execution)
    samplers = tuple(
        sampler_of(config, card, exported, place, choice.raw).to(on) for place in range(count)
    )
    protocol, reals = protocol_of(config)
    similar, with_reals = HeldOutJudge(protocol, config, RANKING).similarities(samplers)
    weights = best_weights(similar.numpy(), with_reals.numpy())
    mixture = Mixture.of(samplers, tuple(weights.tolist()))
    second = HeldOutJudge(protocol, config, VERDICT)
    shares = ", ".join(f"{place}: {share:.3f}" for place, share in enumerate(weights))
    return Mixed(
        mixture,
        f"mixture of survivors {shares}, of the {name}",
        second.fitness(mixture),
        second.fitness(samplers[0]),
        reals,
    )


def best_weights(similar: np.ndarray, with_reals: np.ndarray) -> np.ndarray:
    """Return the weights w (M,) of the least w' K w - 2 w' b under w >= 0, sum w = 1.

    For each subset the stationary point with positive weights, if there is one, is a candidate, and
    the best candidate is the minimum; single generators are candidates in any case.
    """
    count = len(with_reals)
    candidates = [row for size in range(1, count + 1) for row in combinations(range(count), size)]
    found = [w for rows in candidates if (w := _stationary(similar, with_reals, rows)) is not None]
    values = [weights @ similar @ weights - 2 * weights @ with_reals for weights in found]
    return found[int(np.argmin(values))]


def _stationary(
    similar: np.ndarray, with_reals: np.ndarray, rows: Sequence[int]
) -> np.ndarray | None:
    """Return the weights with K w + l 1 = b on some rows and 0 elsewhere, if they are positive."""
    size = len(rows)
    system = np.ones((size + 1, size + 1))
    system[:size, :size], system[size, size] = similar[np.ix_(rows, rows)], 0
    try:
        solved = np.linalg.solve(system, np.append(with_reals[list(rows)], 1.0))[:size]
    except np.linalg.LinAlgError:  # equal generators: one of them alone is as good
        return None
    if not (solved > 0).all():
        return None
    weights = np.zeros(len(with_reals))
    weights[list(rows)] = solved / solved.sum()
    return weights
