"""The rules that choose a config for a user's own images, each with its reason; a pure function.

`docs/training.md` has the rules as a table, and what they were measured on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from egan.data.facts import Facts
from egan.data.source import DataError

RESOLUTIONS = (8, 16, 32, 64, 128, 256)  # that the networks make
LEAST_SIDE = 7 / 8  # of a resolution: smaller images would be enlarged too much
CPU_PIXELS, GPU_PIXELS = 32, 64  # of a side, at most
BATCH, LEAST_BATCH = 64, 8
MINUTES = 20  # that a run on a CPU takes
FEWEST, MOST = 500, 50_000  # generations
# Seconds of a generation on one core: a DCGAN of width 32, batch 64, one mutation.
SECONDS = {8: 0.03, 16: 0.06, 32: 0.2, 64: 0.8, 128: 3.2, 256: 13.0}
SCORINGS, SNAPSHOTS = 5, 10  # in a run
LABELLED = 40  # images that the space `classifier` needs at least
THREADS = 4  # at most
MANY = 50_000  # images: fewer are augmented as needed
PIXELS = "pixels"  # the space where no other fits


@dataclass(frozen=True)
class Machine:
    """What trains: the number of cores, whether there is a GPU, the spaces that have weights."""

    cores: int
    gpu: bool = False
    spaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """A key of a config, the value that was chosen for it, and why."""

    key: str
    value: Any
    reason: str


class Choices:
    """The rows that were chosen so far; a value that the user gave is put in place of a rule's."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.rows: list[Chosen] = []
        self._given = given

    def add(self, key: str, value: Any, reason: str) -> Any:
        """Add a row, and return the value that holds, for the rules that depend on it."""
        if key in self._given:
            value, reason = self._given[key], "given"
        self.rows.append(Chosen(key, value, reason))
        return value


def choose(facts: Facts, machine: Machine, given: Mapping[str, Any] | None = None) -> list[Chosen]:
    """Return a config for images by dotted keys, all but where they lie.

    Args:
        facts: of the images.
        machine: what the run is to be trained on.
        given: values by dotted key that the user has set, as their types.

    Raises:
        DataError: the images are too small, or packed with a side that networks cannot make.
    """
    choices = Choices(given or {})
    most = GPU_PIXELS if machine.gpu else CPU_PIXELS
    why = "as DCGAN is published" if machine.gpu else "more pixels take hours on a CPU"
    side = choose_resolution(choices, facts, most, why)
    if facts.classes > 1:
        found = f"{facts.classes} classes were found; data.condition=labels makes images by class"
        choices.add("data.condition", None, found)
    choices.add("data.flip", False, "true doubles the images, if mirrored ones look right")
    _choose_networks(choices, machine)
    batch, mutations = _choose_training(choices, facts, machine)
    generations = _choose_length(choices, machine, side, batch, len(mutations))
    choose_scoring(choices, facts, machine, generations)
    every = max(1, generations // SNAPSHOTS)
    choices.add("checkpoint.every", every, f"{SNAPSHOTS} snapshots, each with a grid of samples")
    threads = min(machine.cores, THREADS)
    choices.add("execution.threads", threads, f"the cores, up to {THREADS}")
    if machine.gpu:
        reason = "convolutions as torch has them by default, and twice as fast as float32 or more"
        choices.add("execution.precision", "tf32", reason)
    return choices.rows


def choose_resolution(choices: Choices, facts: Facts, most: int, why: str) -> int:
    """Choose the largest power of 2 that enlarges images hardly, at most `most`, and return it.

    Images of 28 pixels, such as MNIST's, become 32; those of 27 become 16.

    Packed images have theirs, and nothing is chosen.

    Raises:
        DataError: the smallest image is too small, or packed images have an unusable side.
    """
    path = getattr(facts.config, "path", None)
    if "resolution" not in type(facts.config).model_fields:
        if facts.oblong or facts.side not in RESOLUTIONS:
            raise DataError(
                f"{path}: packed images of {facts.smallest}, and networks make squares of "
                f"{', '.join(map(str, RESOLUTIONS))} pixels; pack them again, with another "
                "--resolution of the command prepare"
            )
        return facts.side
    fitting = [side for side in RESOLUTIONS if side * LEAST_SIDE <= facts.side]
    side = min(fitting[-1], most) if fitting else RESOLUTIONS[0]
    if not fitting:
        reason = ""
    elif side < fitting[-1]:
        reason = why
    else:
        reason = "the largest power of 2 that enlarges no image"
        if facts.side < side:
            reason += " by more than a seventh"
        if 2 * side <= most:
            smaller = sum(count for own, count in facts.sides.items() if own < 2 * side)
            reason += f" ({2 * side} would enlarge {smaller:,})"
    steps = ["cropped to the centre square"] * bool(facts.oblong)
    steps += ["shrunk"] * (max(facts.sides) > side)
    steps += ["enlarged"] * (min(facts.sides) < side)
    done = f"images are {' and '.join(steps)}" if steps else "images stay as they are"
    chosen: int = choices.add("data.resolution", side, f"{reason}; {done}")
    if not fitting and choices.rows[-1].reason != "given":
        raise DataError(
            f"{path}: the smallest image is {facts.smallest}, and networks make at least "
            f"{side} x {side} pixels; remove such images, or set data.resolution={side} to enlarge "
            "them"
        )
    return chosen


def _choose_networks(choices: Choices, machine: Machine) -> None:
    name = choices.add("backbone.name", "dcgan", "learns fastest on few pixels, of those built in")
    if name != "dcgan":
        return
    if machine.gpu:
        choices.add("backbone.latent", 100, "as published")
        choices.add("backbone.width", 64, "as published")
    else:
        choices.add("backbone.latent", 64, "as the presets for a CPU")
        choices.add("backbone.width", 32, "as the presets for a CPU; 64 is as published")


def _choose_training(
    choices: Choices, facts: Facts, machine: Machine
) -> tuple[int, tuple[str, ...]]:
    """Choose how networks are trained; return the batch and the mutations."""
    batch = BATCH
    while batch > LEAST_BATCH and batch > facts.count:
        batch //= 2
    why = "as the presets" if batch == BATCH else f"there are only {facts.count} images"
    batch = choices.add("population.batch", batch, why)
    mutations: tuple[str, ...] = choices.add(
        "population.mutations",
        ("heuristic",),
        "E-GAN's three took 1.4 times as long for equal digits",
    )
    choices.add(
        "population.average_kimg", "auto", "batch x 10/32, and at most 5 % of the images shown"
    )
    choices.add("fitness.gamma", 0.01, "as the presets")
    choices.add("fitness.batch", batch, "as many as a batch")
    choices.add("discriminator.r1", 1.0, "as the presets; by the rule `auto` digits came out worse")
    choices.add("discriminator.augment", *_augment(facts.count))
    rate = 0.0002 if machine.gpu else 0.0005
    choices.add("optimizer.learning_rate", rate, "as the presets for such networks")
    choices.add("optimizer.betas", (0.5, 0.99), "as the presets")
    choices.add("optimizer.decay", None, "lower rates help only after training has converged")
    return batch, mutations


def _augment(count: int) -> tuple[str, str]:
    if count < MANY:
        return "ada", f"there are fewer than {MANY:,} images; no more than D's certainty asks for"
    return "none", f"there are {MANY:,} images or more"


def _choose_length(
    choices: Choices, machine: Machine, side: int, batch: int, mutations: int
) -> int:
    """Choose the number of generations, and return it."""
    backbone = next(row.value for row in choices.rows if row.key == "backbone.name")
    if machine.gpu:
        generations, reason = MOST, "as the preset images64; the time was not measured"
    elif backbone != "dcgan":
        generations, reason = 10_000, f"the time of backbone {backbone} was not measured"
    else:
        seconds = SECONDS[side] * batch / BATCH * (2 + mutations) / 3
        generations = _rounded(min(MOST, max(FEWEST, 60 * MINUTES / seconds)))
        minutes = max(1, round(generations * seconds / 60))
        reason = f"about {minutes} minutes, as measured on one core of a server"
    chosen: int = choices.add("generations", generations, reason)
    return chosen


def _rounded(number: float) -> int:
    """Return a number with two digits that are not 0."""
    return int(float(f"{number:.1e}"))


def choose_scoring(choices: Choices, facts: Facts, machine: Machine, generations: int) -> None:
    """Choose in which space the run is scored, and when; without one, never."""
    space = choices.add("evaluation.space", *_space(facts, machine))
    if space == PIXELS:
        choices.add("evaluation.every", None, "pixels tell too little of images to judge a run by")
    else:
        every = max(1, generations // SCORINGS)
        choices.add("evaluation.every", every, f"{SCORINGS} scorings; the best snapshot is kept")
    choices.add("evaluation.metrics", ("fid", "kid", "prdc"), "quality and coverage")
    count = 5000 if machine.gpu else 1000
    choices.add("evaluation.count", count, "fewer images make metrics unsteady")


def _space(facts: Facts, machine: Machine) -> tuple[str, str]:
    if facts.classes > 1 and facts.count >= LABELLED:
        return "classifier", "learns from the labels before the run begins, once"
    lack = "there are too few labels" if facts.classes > 1 else "there are no labels"
    if facts.channels == 3 and machine.spaces:
        return machine.spaces[0], f"{lack} to learn a space from"
    return PIXELS, f"{lack}, and no weights for such images (docs/metrics.md)"
