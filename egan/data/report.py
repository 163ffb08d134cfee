"""The report on data that were read: a few lines, the same for all commands."""

from dataclasses import dataclass

import numpy as np

from egan.data.opening import Source
from egan.data.pairs import PairSource
from egan.data.source import ImageSource, Origin, by_reason

KINDS = {1: "grey", 3: "colour"}  # of images, by the number of channels
_SHOWN = 12  # classes or tags in a line; of more, the first, and the extremes


@dataclass(frozen=True)
class Reading:
    """What was read of a set.

    Attributes:
        origin: where it came from, and what was left out.
        classes: each class's name, and how many images are of it; of a mixture, None.
        tags: each tag's name, and how many images have it (a number that is not 0).
    """

    origin: Origin
    classes: tuple[tuple[str, int], ...] | None = None
    tags: tuple[tuple[str, int], ...] | None = None


def reading_of(source: Source) -> Reading:
    """Return what was read of an opened source."""
    if isinstance(source, PairSource):
        notes = (_partners(source),)
        return Reading(Origin(left_out=by_reason(source.skipped), notes=notes))
    if not isinstance(source, ImageSource):
        return Reading(source.origin)
    classes = tags = None
    if source.labels is not None:
        names = source.classes
        counts = np.bincount(source.labels, minlength=len(names or ()))
        if names is None:
            names = tuple(map(str, range(len(counts))))
        classes = tuple(zip(names, counts.tolist(), strict=True))
    if source.tags is not None and source.tag_names is not None:
        having = np.count_nonzero(source.tags, axis=0).tolist()
        tags = tuple(zip(source.tag_names, having, strict=True))
    return Reading(source.origin, classes, tags)


def _partners(source: PairSource) -> str:
    kind = KINDS.get(len(source.b[0]), f"{len(source.b[0])} channels")
    if source.aligned:
        return f"pairs: each has a partner, {kind}"
    return f"two sets that are no pairs: {len(source.a)} of A, {len(source.b)} of B, {kind}"


def report_of(source: Source) -> list[str]:
    """Return the lines about an opened source."""
    return report(source.name, source.length, source.shape, reading_of(source))


def report(
    name: str,
    length: int | None,
    shape: tuple[int, ...],
    reading: Reading,
    unused: tuple[str, ...] = (),
) -> list[str]:
    """Return the lines about a set; of labels or tags that are `unused`, what would use them."""
    if len(shape) == 1:
        return [f"data: {name}, points of {shape[0]} coordinates"]
    channels, height, width = shape
    kind = KINDS.get(channels, f"{channels} channels")
    lines = [f"data: {name}, {length or 0:,} of {width} x {height}, {kind}"]
    origin = reading.origin
    if reading.classes is not None:
        lines.append(_counted("classes", reading.classes, origin.labels, unused))
    elif origin.labels:
        lines.append(f"  no labels: {origin.labels}")
    if reading.tags is not None:
        lines.append(_counted("tags", reading.tags, origin.tags, unused))
    lines += [f"  {note}" for note in origin.notes]
    if origin.left_out:
        lines.append("  left out: " + "; ".join(f"{n} {what}" for what, n in origin.left_out))
    return lines


def _counted(
    what: str, counts: tuple[tuple[str, int], ...], origin: str, unused: tuple[str, ...]
) -> str:
    """Return the line of classes or tags with how many images there are of each."""
    shown = ", ".join(f"{name} {count}" for name, count in counts[:_SHOWN])
    if len(counts) > _SHOWN:
        fewest, most = (of(counts, key=lambda item: item[1]) for of in (min, max))
        shown += f", ... (fewest: {fewest[0]} {fewest[1]}, most: {most[0]} {most[1]})"
    source = f", from {origin}" if origin else ""
    key = "labels" if what == "classes" else "tags"
    hint = f"; not used as conditions, unless data.condition={key}" if key in unused else ""
    return f"  {len(counts)} {what}{source}: {shown}{hint}"
