"""A greedy soup: the average of those snapshots of one lineage that make it better.

Wortsman et al., Model soups, arXiv 2203.05482, algorithm 1: from the best snapshot on, each next
one is taken into the average of the weights if the held-out metric does not get worse. Only
networks of one lineage may be averaged, because others have no common meaning of a weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from egan.state import lerp
from populations.selection import all_jobs, parent_of
from runs.common.errors import ConfigError
from runs.common.files import write_json
from runs.common.hints import hint
from runs.config.schema import RunConfig
from runs.evaluation.held_out import RANKING, VERDICT, HeldOutJudge, protocol_of
from runs.sampling.device import Asked, opened_device
from runs.sampling.generators import write_generator
from runs.sampling.sampler import Sampler
from runs.sampling.states import sampler_of
from runs.store.folder import RunFolder
from runs.store.journal import Entry
from runs.store.snapshots import SnapshotError, read_snapshot, snapshots

RECORD = "soup.json"


@dataclass(frozen=True)
class Soup:
    """A soup, and how it compares with the best snapshot alone.

    Attributes:
        sampler: the average.
        members: generations of the snapshots in it, in the order in which they were taken.
        tried: generations of all snapshots.
        fitness: of the soup on the first and on the second draw, the lower the better.
        alone: the same of the best snapshot, which is the first member.
        reals: what decided.
    """

    sampler: Sampler
    members: tuple[int, ...]
    tried: tuple[int, ...]
    fitness: tuple[float, float]
    alone: tuple[float, float]
    reals: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values, without the networks."""
        return {
            "members": self.members,
            "tried": self.tried,
            "fitness": dict(zip(("first draw", "second draw"), self.fitness, strict=True)),
            "best snapshot alone": dict(
                zip(("first draw", "second draw"), self.alone, strict=True)
            ),
            "reals": self.reals,
        }


def make_soup(run_dir: str | Path, raw: bool = False, device: Asked = "auto") -> Soup:
    """Return the greedy soup of a run's snapshots.

    Args:
        run_dir: the run's folder.
        raw: whether the snapshots' own weights are averaged, in place of their running averages.
        device: where samples are made.

    Raises:
        ConfigError: there is no such run, or it has fewer than two snapshots that verify.
    """
    folder = RunFolder.open(run_dir)
    config = folder.load_config()
    on = opened_device(device, config.execution)
    candidates = {g: sampler.to(on) for g, sampler in _candidates(folder, config, raw).items()}
    if len(candidates) < 2:
        raise ConfigError(
            f"{folder.path} has {len(candidates)} snapshot(s) of this stage, and a soup needs two "
            "or more: a run keeps checkpoint.keep of them, one in every checkpoint.every "
            "generations"
        )
    protocol, reals = protocol_of(config)
    judge = HeldOutJudge(protocol, config, RANKING)
    places, sampler, fitness, alone = greedy(judge, list(candidates.values()))
    generations = tuple(candidates)
    second = HeldOutJudge(protocol, config, VERDICT)
    first = candidates[generations[places[0]]]
    return Soup(
        sampler,
        tuple(generations[place] for place in places),
        generations,
        (fitness, second.fitness(sampler)),
        (alone, second.fitness(first)),
        reals,
    )


def greedy(
    judge: HeldOutJudge, candidates: Sequence[Sampler]
) -> tuple[list[int], Sampler, float, float]:
    """Return the places of a soup's members, the soup, its fitness, and that of its first one."""
    found = [judge.fitness(candidate) for candidate in candidates]
    order = sorted(range(len(found)), key=lambda place: (found[place], place))
    members, soup, fitness = [order[0]], candidates[order[0]], found[order[0]]
    for place in order[1:]:
        trial = averaged(soup, candidates[place], len(members))
        if (value := judge.fitness(trial)) <= fitness:
            members, soup, fitness = [*members, place], trial, value
    return members, soup, fitness, found[order[0]]


def averaged(soup: Sampler, other: Sampler, count: int) -> Sampler:
    """Return the average of `count` networks, which is `soup`, and one more."""
    weights = {
        role: lerp(own, other.weights[role], 1 / (count + 1)) for role, own in soup.weights.items()
    }
    return replace(soup, weights=weights)


def check_out(out: Path) -> None:
    """Refuse a folder that exists.

    Raises:
        ConfigError: it does.
    """
    if out.exists():
        raise ConfigError(f"--out {out}: it exists already; choose another folder")


def write_soup(run_dir: Path, out: Path, soup: Soup) -> None:
    """Write a soup as a generator's folder, and how it came about."""
    out.mkdir(parents=True)
    write_generator(out, RunFolder.open(run_dir).load_config().backbone, soup.sampler.to("cpu"))
    write_json(out / RECORD, {"run": str(run_dir), **soup.to_json()})


def _candidates(folder: RunFolder, config: RunConfig, raw: bool) -> dict[int, Sampler]:
    """Return the samplers of the sound snapshots of one lineage and stage, by generation."""
    card, states = folder.load_data(), {}
    for snapshot in [*snapshots(folder.snapshots), *snapshots(folder.best)]:
        try:
            states[snapshot.generation] = read_snapshot(snapshot, folder.run)[0]
        except SnapshotError:
            continue
    if not states:
        return {}
    places = ancestors(folder, config, sorted(states))
    samplers = {
        generation: sampler_of(config, card, states[generation], place, raw)
        for generation, place in places.items()
    }
    stage = samplers[max(samplers)].stage
    return {generation: own for generation, own in samplers.items() if own.stage == stage}


def ancestors(folder: RunFolder, config: RunConfig, generations: Sequence[int]) -> dict[int, int]:
    """Return the places of the newest best parent's ancestors in the states of some generations.

    Raises:
        ConfigError: the journal does not say who they are.
    """
    *earlier, last = generations
    if config.population.survivors == 1:
        return dict.fromkeys(generations, 0)
    grid = all_jobs(config.population.operators, config.population.survivors)
    survivors = {
        line.generation: line.survivors
        for line in folder.read_index().lines_from(generations[0])
        if isinstance(line, Entry) and line.generation < last
    }
    places, place = {last: 0}, 0
    for generation in range(last - 1, generations[0] - 1, -1):
        if generation not in survivors:
            raise ConfigError(
                f"{folder.journal} lacks generation {generation}, so nothing says which survivors "
                f"are of one lineage. Go on with the run first: {hint('resume', folder.path)}"
            )
        place = parent_of(survivors[generation][place], grid)
        if generation in earlier:
            places[generation] = place
    return dict(sorted(places.items()))
