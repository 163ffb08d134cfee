"""The report of a comparison: one self-contained page that starts with the answer, and tables."""

import base64
import csv
import io
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.console import Console
from rich.table import Table

from runs.common.errors import ConfigError
from runs.common.files import write_json, write_text
from runs.common.folders import refuse_another
from runs.common.formats import STAMP
from runs.common.hints import hint
from runs.study.class_tables import class_tables
from runs.study.comparison import Comparison, MetricComparison, compare
from runs.study.folder import StudyFolder
from runs.study.records import Record, from_store, read_record
from runs.study.report_plots import Signals, draw_all
from runs.study.results import results_csv, results_json
from runs.study.selection_signal import GenerationSignal, selection_signal, signal_json
from runs.study.sentences import answer, sentence
from runs.study.statistics import ALPHA
from runs.study.strategies import BUILT_IN
from runs.study.study import Study
from runs.study.tournament_records import with_course
from runs.tournament.islands import TournamentFolder
from runs.tracking.params import git_commit
from runs.tracking.query import fetch_picture, stored_runs

LIBRARIES = ("evolutionary-gan", "torch", "numpy", "scipy", "deap", "ray", "mlflow")
# What each picture shows and how to read it; `curves-*` is every metric's.
CAPTIONS = {
    "final": "Every run's last scoring. Strategies whose intervals overlap widely have not been "
    "told apart.",
    "curves": "The same runs against six budget axes. Counted in generations, a strategy's extra "
    "children cost nothing; counted in generator steps or seconds, they do. "
    "Further left is cheaper.",
    "classes": "Each class's value at the last scoring, the median over the seeds; grey is what "
    "real samples come to in the generated ones' place. A dot far from the others is a class that "
    "is missing or drawn badly.",
    "samples": "Samples of the run nearest to each strategy's median; crosses mark true modes.",
    "wins": "Which mutation made the survivors. Random selection gives equal shares; a single "
    "colour means that the same mutation was always chosen.",
    "pareto": "Quality and diversity of the children as the fitness saw them, each against the "
    "discriminator of its own generation, so strategies compare only loosely; on the black line no "
    "child is better on both.",
    "lineage": "Left, a row per seed: which mutation made each ancestor of the final best parent. "
    "Right, the last generations one by one.",
    "signal": "The children of a generation, judged again on other evaluation draws. Below 1 the "
    "noise of the draw is larger than the differences between children; where two draws agree no "
    "more often than by chance, selection is random.",
}


@dataclass(frozen=True)
class Report:
    """A report's page, what it says, and the files that came with it."""

    page: Path
    comparison: Comparison
    artifacts: tuple[tuple[Path, str | None], ...]  # each with its folder in MLflow


def report_on_folder(
    path: str | Path,
    metrics: Sequence[str] = (),
    output: Path | None = None,
    control: str | None = None,
) -> Report:
    """Compare the runs of a study's folder, and write the report there or into `output`.

    Args:
        path: the study's folder.
        metrics: short or full names; by default the study's, else all.
        output: another folder for the report; by default the study's, or where metrics or a control
            are named, one inside it.
        control: the strategy that each other one is compared with; by default the study's.

    Raises:
        ConfigError: no study lies there, it has not been scored, or no run has such a metric.
    """
    folder = StudyFolder(Path(path))
    study = folder.load()
    records = [_record(folder, name, seed) for name, seed in study.trials]
    comparison = compare(
        records, metrics or study.config.metrics or (), control or study.config.control
    )
    signals = _signals(comparison, study.config.draws)
    about = {
        "name": study.name,
        "budget": str(study.budget),
        "strategies": list(study.config.strategies),
        "seeds": list(study.config.seeds),
    }
    files = {"study.yaml": study.to_yaml()}
    command = hint("study", folder.path)
    # Other metrics or another control than the study's must not take the place of its own results.
    named = [*metrics, *([] if control is None else ["with", control])]
    place = folder.path / "-".join(["compare", *named]) if named else folder.path
    return _write(comparison, signals, about, files, output or place, command, _shown(study))


def report_on_store(
    experiment: str,
    metrics: Sequence[str] = (),
    study: str | None = None,
    output: Path | None = None,
    uri: str | None = None,
    control: str | None = None,
) -> Report:
    """Compare the runs of an MLflow experiment, from the store alone.

    Runs of the same strategy and seed count once: the newest finished one does, and the report says
    which that is.

    Args:
        experiment: its name.
        metrics: short or full names; by default all.
        study: only runs of the study of this name; by default of the newest one there.
        output: the report's folder; by default `outputs/compare-<experiment>`.
        uri: the store; by default MLFLOW_TRACKING_URI, else MLflow's own.
        control: the strategy that each other one is compared with; None: every two are compared.

    Raises:
        ConfigError: no such experiment, or nothing in it can be compared; or a folder of that name
            holds a run or a tournament.
    """
    try:
        stored = stored_runs(experiment, study, uri)
    except ConfigError:
        refuse_another(Path(experiment), "study")
        raise
    if not stored:
        raise ConfigError(
            f"the experiment {experiment!r} has no runs with a strategy and a seed"
            + (f" in a study {study!r}" if study else "")
        )
    name = study or next((r.tags["study"] for r in reversed(stored) if "study" in r.tags), None)
    chosen = [run for run in stored if run.tags.get("study") == name]
    folder = output or Path("outputs") / f"compare-{experiment}"
    newest, notes = from_store(chosen)
    records = [
        record.with_picture(fetch_picture(run.run_id, folder / "samples" / run.run_id, uri))
        for record, run in newest
    ]
    order = {name: place for place, name in enumerate(BUILT_IN)}
    records.sort(key=lambda r: (r.seed, order.get(r.strategy, len(order)), r.strategy))
    try:
        comparison = compare(records, metrics, control)
    except ConfigError as error:
        raise ConfigError(
            " ".join([str(error), *(f"warning: {note}." for note in notes)])
        ) from None
    comparison = replace(comparison, warnings=(*notes, *comparison.warnings))
    about: dict[str, Any] = {
        "name": name or experiment,
        "budget": ", ".join(sorted({run.tags.get("budget", "not stated") for run in chosen})),
        "strategies": comparison.strategies,
        "seeds": sorted({record.seed for record in records}),
    }
    command = hint("compare", experiment, study=study, control=control)
    configs = {
        run.tags["strategy"]: "\n".join(f"{k}: {v}" for k, v in sorted(run.params.items()))
        for run in chosen
    }
    return _write(comparison, {}, about, {}, folder, command, configs)


def _record(folder: StudyFolder, strategy: str, seed: int) -> Record:
    """Return the record of a trial, be it a run or a tournament."""
    path = folder.run(strategy, seed)
    record, tournament = read_record(strategy, seed, path), TournamentFolder(path)
    return with_course(record, tournament) if tournament.config.is_file() else record


def _signals(comparison: Comparison, draws: int) -> Signals:
    """Return selection's signal in every run that had a choice."""
    found: dict[str, dict[int, list[GenerationSignal]]] = {}
    for record in comparison.records:
        if record.folder is not None and len(record.mutations) > 1 and record.points:
            seeds = found.setdefault(record.strategy, {})
            seeds[record.seed] = selection_signal(record.folder, draws)
    return found


def _shown(study: Study) -> dict[str, str]:
    """Return each strategy's whole config, for the page's end."""
    return {
        name: (study.tournaments.get(name) or config).to_yaml()
        for name, config in study.configs.items()
    }


# -------------------------------------------------------------------------------------------- files


def _write(
    comparison: Comparison,
    signals: Signals,
    about: dict[str, Any],
    files: Mapping[str, str],
    folder: Path,
    command: str,
    configs: Mapping[str, str],
) -> Report:
    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw_all(comparison, signals, folder / "plots")
    write_text(folder / "results.csv", results_csv(comparison))
    write_json(folder / "results.json", STAMP | results_json(comparison, about))
    write_text(folder / "timings.csv", timings_csv(comparison.records))
    if signals:
        write_json(folder / "selection.json", STAMP | selection_json(signals))
    page = folder / "report.html"
    write_text(page, _page(comparison, signals, about, pictures, command, configs))
    for name, text in files.items():
        write_text(folder / name, text)
    names = ["report.html", "results.csv", "results.json", "timings.csv", *files]
    names += ["selection.json"] if signals else []
    artifacts: list[tuple[Path, str | None]] = [(folder / name, None) for name in names]
    artifacts += [(path, "plots") for path in pictures.values()]
    return Report(page, comparison, tuple(artifacts))


def timings_csv(records: Sequence[Record]) -> str:
    """Return a row per run: generations, seconds of evolving, and seconds each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["strategy", "seed", "generations", "seconds", "seconds_per_generation"])
    for record in records:
        if record.points:
            last = record.points[-1]
            each = last.spent["seconds"] / max(1, last.generation)
            row = [record.strategy, record.seed, last.generation]
            writer.writerow([*row, f"{last.spent['seconds']:.3f}", f"{each:.6f}"])
    return text.getvalue()


def selection_json(signals: Signals) -> dict[str, Any]:
    """Return selection's signal by strategy and seed."""
    return {
        name: {str(seed): signal_json(list(found)) for seed, found in runs.items()}
        for name, runs in signals.items()
    }


# --------------------------------------------------------------------------------------------- page


def _page(
    comparison: Comparison,
    signals: Signals,
    about: Mapping[str, Any],
    pictures: Mapping[str, Path],
    command: str,
    configs: Mapping[str, str],
) -> str:
    environment = Environment(
        loader=PackageLoader("runs.study", "templates"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["figure"] = figure
    return environment.get_template("report.html").render(
        about=about,
        answer=answer(comparison) + signal_sentences(signals),
        warnings=comparison.warnings,
        metrics=[_metric_rows(metric) for metric in comparison.metrics],
        classes=class_tables(comparison),
        strategies=comparison.strategies,
        control=comparison.control,
        pictures=[_picture(name, path) for name, path in pictures.items()],
        runs=[_run_row(record, comparison.metrics[0].metric) for record in comparison.records],
        first=comparison.metrics[0].metric,
        alpha=ALPHA,
        command=command,
        configs=configs,
        versions=versions(),
    )


def _metric_rows(metric: MetricComparison) -> dict[str, Any]:
    order = metric.ranking + [name for name in metric.summaries if name not in metric.ranking]
    return {
        "name": metric.metric,
        "better": "higher" if metric.higher_is_better else "lower",
        "rows": [(name, metric.summaries[name]) for name in order],
        "pairs": [(pair, sentence(pair, metric)) for pair in metric.pairs],
        "budgets": [
            (f"{b.amount:,.5g} {b.axis.replace('_', ' ')}", b.medians) for b in metric.budgets
        ],
        "order": order,
    }


def _picture(name: str, path: Path) -> dict[str, str]:
    data = base64.b64encode(path.read_bytes()).decode()
    return {
        "name": name,
        "data": f"data:image/png;base64,{data}",
        "caption": CAPTIONS[name.partition("-")[0]],
    }


def _run_row(record: Record, metric: str) -> tuple[Any, ...]:
    last = record.points[-1] if record.points else None
    return (
        record.strategy,
        record.seed,
        record.status,
        last.generation if last else None,
        last.values.get(metric) if last else None,
        last.spent["seconds"] if last else None,
        record.error or "",
    )


def signal_sentences(signals: Signals) -> list[str]:
    """Return what can be said of selection's own signal, for each strategy that had a choice."""
    said = []
    for name, runs in signals.items():
        found = [one for run in runs.values() for one in run]
        if not found:
            continue
        ratio = np.median([one.signal.ratio for one in found])
        agreement = np.mean([one.signal.agreement for one in found])
        chance = np.mean([one.signal.chance for one in found])
        said.append(
            f"Selection's own signal along the runs of {name}: signal to noise {ratio:.2g} "
            f"(median of {len(found)} generations); two evaluation draws choose the same child "
            f"{agreement:.0%} of the time, blind choice would {chance:.0%}."
        )
    return said


def figure(value: float | None) -> str:
    """Return a number to read; a dash for none."""
    return "-" if value is None else f"{value:.4g}"


def versions() -> dict[str, str]:
    """Return what the numbers were made with."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    commit = git_commit()
    return found | ({"commit": commit} if commit else {}) | {"platform": sys.platform}


# ----------------------------------------------------------------------------------------- terminal


def render(report: Report, console: Console | None = None) -> None:
    """Print the answer, the first metric's table, the warnings, and where the rest is."""
    console = console or Console(highlight=False)
    comparison = report.comparison
    for said in answer(comparison):
        console.print(said, markup=False)
    for metric in comparison.metrics:
        table = Table(metric.metric, "n", "median", "95 % interval", "mean", "best", box=None)
        for name in metric.ranking:
            s = metric.summaries[name]
            interval = f"{figure(s.low)} to {figure(s.high)}" if s.low is not None else "-"
            table.add_row(
                name, str(s.n), figure(s.median), interval, figure(s.mean), figure(s.best)
            )
        console.print()
        console.print(table)
    for warning in comparison.warnings:
        console.print(f"warning: {warning}", markup=False)
    console.print(f"\nreport: {report.page}", markup=False, soft_wrap=True)
