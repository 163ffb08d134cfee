"""Several dissections side by side: how many detectors of which class each has."""

from pathlib import Path
from typing import Any

import numpy as np

from runs.common.errors import ConfigError
from runs.common.figures import write_figure
from runs.common.files import write_json
from runs.dissection.results import FOLDER, JSON, Found, read_results


def compare(places: tuple[str, ...], out: Path) -> list[str]:
    """Draw the detectors of dissections as a PNG, with a JSON beside it; return them in lines.

    Args:
        places: each `DIR` or `LABEL=DIR`, the folder of a dissection, or of a run that has one.
        out: the PNG.

    Raises:
        ConfigError: one is not there, or was made in another way than the others.
    """
    found = [_read(text) for text in places]
    _check_alike(found)
    classes = found[0][2].classes
    labels = list(dict.fromkeys(label for label, _, _ in found))
    means = {
        label: dict(
            zip(classes, _mean([one for own, _, one in found if own == label]), strict=True)
        )
        for label in labels
    }
    counted = {label: sum(own == label for own, _, _ in found) for label in labels}
    each: list[dict[str, Any]] = [
        {
            "label": label,
            "folder": str(folder),
            "subject": one.subject,
            "generator": one.generator,
            "layers": {name: layer.detectors for name, layer in one.layers.items()},
        }
        for label, folder, one in found
    ]
    write_json(
        out.with_suffix(".json"),
        {"classes": classes, "means": means, "averaged": counted, "dissections": each},
    )
    seen = [name for name in classes if any(means[label][name] for label in labels)]
    draw(means, seen, out)
    return [
        f"{label}: {sum(means[label].values()):.4g} detectors: "
        + (", ".join(f"{means[label][n]:.4g} {n}" for n in seen if means[label][n]) or "none")
        + (f" (mean of {counted[label]})" if counted[label] > 1 else "")
        for label in labels
    ]


def _read(text: str) -> tuple[str, Path, Found]:
    label, equals, place = text.rpartition("=")
    folder = Path(place)
    if not (folder / JSON).is_file() and (folder / FOLDER / JSON).is_file():
        folder = folder / FOLDER
    found, _ = read_results(folder, Path(place))
    return label if equals else f"{Path(found.subject).name}, {found.generator}", folder, found


def _check_alike(found: list[tuple[str, Path, Found]]) -> None:
    _, place, first = found[0]
    for _, other, one in found[1:]:
        for name in ("segmenter", "identity", "count", "rule"):
            if getattr(one, name) != getattr(first, name):
                what = f"weights of the segmenter {one.segmenter}" if name == "identity" else name
                raise ConfigError(
                    f"{place} and {other} differ in the {what}, so that their detectors cannot be "
                    "compared: dissect both in the same way"
                )


def _mean(found: list[Found]) -> list[float]:
    """Return the mean number of detectors of each class, over dissections."""
    counts = [
        [sum(layer.detectors[name] for layer in one.layers.values()) for name in one.classes]
        for one in found
    ]
    return [float(value) for value in np.mean(counts, 0)]


def draw(means: dict[str, dict[str, float]], classes: list[str], path: Path) -> None:
    """Draw a bar for each label, of parts for the classes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1 + 0.3 * len(means)), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    start = np.zeros(len(means))
    for name in classes:
        widths = np.array([own[name] for own in means.values()])
        axes.barh(range(len(means)), widths, left=start, label=name)
        start += widths
    axes.set_yticks(range(len(means)), list(means))
    axes.invert_yaxis()
    axes.set_xlabel("detectors")
    if classes:
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    write_figure(figure, path)
