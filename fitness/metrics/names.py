"""The metrics by name, and the full name that fixes a score's protocol: `fid-inception-10k`.

A score means something only together with the feature space and the number of images behind it,
so a metric is never written without them (the habit of StyleGAN's `fid50k_full`). The grammar:

    METRIC-SPACE-COUNT            COUNT images generated, and as many real ones
    METRIC-SPACE-COUNT-vs-REALS   another number of real images
    METRIC-SPACE-COUNT-vs-file    real statistics from a file that does not say how many
    ppl-w-end-SPACE-COUNT         COUNT pairs of latents
    WAY/METRIC-SPACE-COUNT        of a translator in both directions: the translations one way,
                                  a-to-b or b-to-a, or there and back, a-to-a or b-to-b
    COUNT, REALS                  10000 or 10k; thousands are printed with k
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fitness.suggestion import nearest

Need = Literal[
    "statistics",
    "features",
    "logits",
    "pairs",
    "points",
    "latents",
    "classes",
    "histogram",
    "targets",
    "parts",
]


@dataclass(frozen=True)
class Metric:
    """A metric's name, its needs, and its meaning.

    Attributes:
        name: the short name.
        need: what must be gathered from the images to compute it.
        higher_is_better: which way is up, for whoever keeps the best.
        against_real: whether real images take part.
        minimum: the fewest images (of each side) from which it is defined.
    """

    name: str
    need: Need
    higher_is_better: bool
    against_real: bool
    minimum: int


# k nearest neighbours of precision and recall, density and coverage (Naeem et al. 2020, sec. 4).
NEAREST = 5
# The inception score is averaged over this many parts (Salimans et al. 2016).
SPLITS = 10

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("fid", "statistics", False, True, 2),
        Metric("kid", "features", False, True, 2),
        Metric("mmd", "features", False, True, 2),
        Metric("precision", "features", True, True, NEAREST + 1),
        Metric("recall", "features", True, True, NEAREST + 1),
        Metric("density", "features", True, True, NEAREST + 1),
        Metric("coverage", "features", True, True, NEAREST + 1),
        Metric("is", "logits", True, False, SPLITS),
        # Of data whose classes are equally frequent, such as stacked digits.
        Metric("classes-covered", "histogram", True, False, 1),
        Metric("classes-kl", "histogram", False, False, 1),
        # Similarity within the samples: high where they are all alike (Odena et al. 2017).
        Metric("ssim", "pairs", False, False, 2),
        Metric("ms-ssim", "pairs", False, False, 2),
        # Between each translation and what it should be: `fitness.metrics.fidelity`.
        Metric("l1", "targets", False, True, 1),
        Metric("psnr", "targets", True, True, 1),
        Metric("target-ssim", "targets", True, True, 1),
        # Of translated masks: `fitness.metrics.parts`.
        Metric("part-accuracy", "parts", True, True, 1),
        Metric("part-class-accuracy", "parts", True, True, 1),
        Metric("part-iou", "parts", True, True, 1),
        Metric("modes", "points", True, True, 1),
        Metric("high-quality", "points", True, True, 1),
        Metric("kl", "points", False, True, 1),
        Metric("overlap", "points", True, True, 1),
        # Of samples that were asked for by class, in `fitness.classes`; of points, by mode.
        Metric("ifid", "classes", False, True, 2),
        Metric("ikid", "classes", False, True, 2),
        Metric("gan-train", "classes", True, True, 40),
        Metric("gan-test", "classes", True, True, 40),
        Metric("class-accuracy", "classes", True, True, 2),
        Metric("mode-accuracy", "points", True, True, 1),
        # Of a generator, not of images: its latent space, Z or W (Karras et al. 2018, section 4).
        Metric("ppl-z-full", "latents", False, False, 1),
        Metric("ppl-z-end", "latents", False, False, 1),
        Metric("ppl-w-full", "latents", False, False, 1),
        Metric("ppl-w-end", "latents", False, False, 1),
        Metric("separability-z", "latents", False, False, 2),
        Metric("separability-w", "latents", False, False, 2),
    )
}
GROUPS: dict[str, tuple[str, ...]] = {
    "prdc": ("precision", "recall", "density", "coverage"),
    "mixture": ("modes", "high-quality", "kl"),
    "by-class": ("ifid", "ikid", "gan-train", "gan-test", "class-accuracy"),
    "ppl": ("ppl-z-full", "ppl-z-end", "ppl-w-full", "ppl-w-end"),
    "ppl-z": ("ppl-z-full", "ppl-z-end"),
    "ppl-w": ("ppl-w-full", "ppl-w-end"),
    "separability": ("separability-z", "separability-w"),
    "translation": ("l1", "psnr", "target-ssim", "kid"),
    "parts": ("part-accuracy", "part-class-accuracy", "part-iou"),
}


BY_CLASS = (*GROUPS["by-class"], "mode-accuracy")  # of samples that were asked for by class


def nearest_name(given: str, known: Iterable[str], what: str) -> ValueError:
    """The error for an unknown name: what arrived, the closest known one, and all of them."""
    known = sorted(known)
    return ValueError(f"unknown {what} {given!r}{nearest(given, known)} Known: {', '.join(known)}.")


def expand_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """Short names with groups (`prdc`, `mixture`) spelled out, each once, in the order given.

    Raises:
        ValueError: a name is unknown (the nearest known one is offered), or there is none.
    """
    expanded: dict[str, None] = {}
    for name in names:
        if name not in METRICS and name not in GROUPS:
            raise nearest_name(name, (*METRICS, *GROUPS), "metric")
        expanded.update(dict.fromkeys(GROUPS.get(name, (name,))))
    if not expanded:
        raise ValueError(f"no metric given. Known: {', '.join(sorted((*METRICS, *GROUPS)))}.")
    return tuple(expanded)


_SPACE = re.compile(r"[A-Za-z0-9_.:]+(-[A-Za-z0-9_.:]+)*")
_METRIC = "|".join(sorted(METRICS, key=len, reverse=True))
WAYS = ("a-to-b", "b-to-a", "a-to-a", "b-to-b")
_NAME = re.compile(rf"(?:({'|'.join(WAYS)})/)?({_METRIC})-(.+?)-(\d+k?)(?:-vs-(\d+k?|file))?")


@dataclass(frozen=True)
class MetricName:
    """A metric with its protocol; `str()` prints it, `parse` reads it back.

    Attributes:
        metric: a key of `METRICS`.
        space: the feature space's name.
        count: how many generated images.
        reals: how many real images; None where they are as many as the generated ones or take
            no part, `"file"` where a statistics file does not say.

    Raises:
        ValueError: an unknown metric, a space that cannot be part of a name, a count below 1.
    """

    metric: str
    space: str
    count: int
    reals: int | Literal["file"] | None = None
    way: str = ""

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise nearest_name(self.metric, METRICS, "metric")
        if not _SPACE.fullmatch(self.space) or "vs" in self.space.split("-"):
            raise ValueError(
                f"{self.space!r} cannot be a feature space's name in a metric: words of letters, "
                "digits, '_', '.' and ':', joined by '-', none of them 'vs'"
            )
        for count in (self.count, self.reals):
            if isinstance(count, int) and count < 1:
                raise ValueError(f"a metric's count is at least 1; {count} arrived")
        if self.reals == self.count:  # one spelling for one protocol
            object.__setattr__(self, "reals", None)

    def __str__(self) -> str:
        name = f"{self.label}-{self.space}-{_short(self.count)}"
        if self.reals is None:
            return name
        return f"{name}-vs-{self.reals if self.reals == 'file' else _short(self.reals)}"

    @property
    def label(self) -> str:
        """The metric and, before a slash, its way, if there are several: the name in short."""
        return f"{self.way}/{self.metric}" if self.way else self.metric

    @classmethod
    def parse(cls, text: str) -> "MetricName":
        """Read a full name.

        Raises:
            ValueError: `text` is not of the form METRIC-SPACE-COUNT[-vs-REALS].
        """
        found = _NAME.fullmatch(text)
        if not found:
            raise ValueError(
                f"{text!r} is not a metric's full name: METRIC-SPACE-COUNT as in "
                f"'fid-inception-10k', METRIC one of {', '.join(sorted(METRICS))}"
            )
        way, metric, space, count, reals = found.groups()
        return cls(
            metric,
            space,
            _long(count),
            "file" if reals == "file" else None if reals is None else _long(reals),
            way or "",
        )


def _short(count: int) -> str:
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)


def _long(text: str) -> int:
    return int(text[:-1]) * 1000 if text.endswith("k") else int(text)
