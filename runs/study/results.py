"""A comparison as JSON and CSV: everything that a study's config and seeds decide."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from runs.store.budgets import COUNTED
from runs.study.comparison import Comparison, MetricComparison
from runs.study.records import Record
from runs.study.sentences import sentence


def results_json(comparison: Comparison, study: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that a study's config and seeds decide, as JSON values; NaN is null.

    Times are not among it, so that two goes of one study give the same file.
    """
    return {
        "study": dict(study),
        "warnings": list(comparison.warnings),
        "control": comparison.control,  # that the others are compared with; null: every two are
        "metrics": [_metric_json(metric) for metric in comparison.metrics],
        "runs": [_record_json(record) for record in comparison.records],
    }


def _metric_json(metric: MetricComparison) -> dict[str, Any]:
    return {
        "metric": metric.metric,
        "better": "higher" if metric.higher_is_better else "lower",
        "strategies": {
            name: asdict(summary)
            | {"values": {str(seed): number(v) for seed, v in metric.results[name].items()}}
            for name, summary in metric.summaries.items()
        },
        "pairs": [asdict(pair) | {"sentence": sentence(pair, metric)} for pair in metric.pairs],
        "equal_budgets": [asdict(b) for b in metric.budgets if b.axis in COUNTED],
    }


def _record_json(record: Record) -> dict[str, Any]:
    return {
        "strategy": record.strategy,
        "seed": record.seed,
        "status": record.status,
        "error": record.error,
        "scorings": [
            {axis: number(point.spent[axis]) for axis in COUNTED}
            | {"values": {name: number(value) for name, value in point.values.items()}}
            for point in record.points
        ],
    }


def results_csv(comparison: Comparison) -> str:
    """Return a row per run: what it spent, and its last scoring."""
    names = list(dict.fromkeys(n for r in comparison.records for p in r.points for n in p.values))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["strategy", "seed", "status", *COUNTED, *names, "error"])
    for record in comparison.records:
        last = record.points[-1] if record.points else None
        spent = [f"{last.spent[axis]:.0f}" for axis in COUNTED] if last else [""] * len(COUNTED)
        values = [repr(last.values[n]) if last and n in last.values else "" for n in names]
        error = record.error or ""
        writer.writerow([record.strategy, record.seed, record.status, *spent, *values, error])
    return text.getvalue()


def number(value: float | None) -> float | None:
    """Return a number as JSON has it: null for what is not finite."""
    return value if value is not None and math.isfinite(value) else None
