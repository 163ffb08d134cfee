"""Scorings of a run that are kept beside it, and shown."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fitness.metrics.names import METRICS, MetricName
from runs.common.errors import ConfigError, printable
from runs.common.files import read_json
from runs.evaluation.memorised import told
from runs.store.class_values import ClassValues, read_classes

SCORES = ("values", "classes", "memorisation")  # what a record holds beside its protocol


class _Record(BaseModel, extra="allow"):
    """A scoring that was kept; any keys, but `values` by name."""

    values: dict[str, float | None]
    classes: dict[str, Any] = {}


_RECORDS = TypeAdapter(list[_Record])


def read_records(file: Path) -> list[dict[str, Any]]:
    """Return the scorings in a file; none where it is not there.

    Raises:
        ConfigError: it is damaged.
    """
    try:
        kept = read_json(file)
        _RECORDS.validate_python(kept)
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        raise ConfigError(f"{file} is damaged; move it away, and evaluate again") from None
    return list(kept)


def joined(kept: list[dict[str, Any]], record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records with one more; of one protocol there is one, with all values."""

    def protocol(of: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in of.items() if key not in SCORES}

    same = [known for known in kept if protocol(known) == protocol(record)]
    others = [known for known in kept if protocol(known) != protocol(record)]
    scores = {
        key: {k: v for known in [*same, record] for k, v in known.get(key, {}).items()}
        for key in SCORES
    }
    return [*others, record | {key: found for key, found in scores.items() if found}]


def direction_of(name: str) -> str:
    """Return which values of a metric, by its full name, are better."""
    return "higher" if METRICS[MetricName.parse(name).metric].higher_is_better else "lower"


def render(found: dict[str, Any]) -> None:
    """Print what `assess` found."""
    console = Console(highlight=False)
    classes = read_classes(found.get("classes", {}))
    reals = ("of reals",) if classes else ()
    table = Table("metric", "value", *reals, "better is", box=None)
    for name, value in found["values"].items():
        known = (f"{classes[name].reals:.5g}" if name in classes else "",) if classes else ()
        table.add_row(name, f"{value:.5g}", *known, direction_of(name))
    what = f" ({found['snapshot']})" if "snapshot" in found else ""
    against = f" against {found['against']}" if found["against"] else ""
    title = f"{found['subject']}{what}{against}"
    console.print(escape(printable(title)), soft_wrap=True)
    console.print(table)
    if classes:
        console.print(_by_class(classes))
    if "memorisation" in found:
        console.print(told(found["memorisation"]), soft_wrap=True)
    for line in found.get("read", ()):
        console.print(escape(printable(line)), soft_wrap=True)
    for key in ("file", "picture", "copies", "mlflow"):
        if found.get(key):
            console.print(escape(printable(f"{key}: {found[key]}")), soft_wrap=True)


def _by_class(values: dict[str, ClassValues]) -> Table:
    """Return a table with a row for each class: each metric's value, and the reals' in brackets."""
    short = [MetricName.parse(metric).metric for metric in values]
    table = Table("class", *(f"{name} (reals)" for name in short), box=None)
    names = dict.fromkeys(name for of in values.values() for name in of.classes)
    for name in names:
        cells = (of.classes.get(name) for of in values.values())
        shown = ("" if cell is None else f"{cell[0]:.3g} ({cell[1]:.3g})" for cell in cells)
        table.add_row(escape(printable(name)), *shown)
    return table
