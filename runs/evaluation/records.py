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


class _Record(BaseModel, extra="allow"):
    """A scoring that was kept; any keys, but `values` by name."""

    values: dict[str, float | None]


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
        return {key: value for key, value in of.items() if key != "values"}

    others = [known for known in kept if protocol(known) != protocol(record)]
    values = {k: v for known in kept if known not in others for k, v in known["values"].items()}
    return [*others, record | {"values": values | record["values"]}]


def render(found: dict[str, Any]) -> None:
    """Print what `assess` found."""
    console = Console(highlight=False)
    table = Table("metric", "value", "better is", box=None)
    for name, value in found["values"].items():
        up = METRICS[MetricName.parse(name).metric].higher_is_better
        table.add_row(name, f"{value:.5g}", "higher" if up else "lower")
    what = f" ({found['snapshot']})" if "snapshot" in found else ""
    against = f" against {found['against']}" if found["against"] else ""
    title = f"{found['subject']}{what}{against}"
    console.print(escape(printable(title)), soft_wrap=True)
    console.print(table)
    for line in found.get("read", ()):
        console.print(escape(printable(line)), soft_wrap=True)
    for key in ("file", "mlflow"):
        if found.get(key):
            console.print(escape(printable(f"{key}: {found[key]}")), soft_wrap=True)
