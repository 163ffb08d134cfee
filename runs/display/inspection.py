"""The report of `inspect` on a run's folder, for people and programs."""

import statistics
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fitness.metrics.names import MetricName
from fitness.scores import OBJECTIVES
from populations.individual import Score
from runs.common.errors import printable
from runs.common.files import read_json
from runs.common.lock import is_held
from runs.display.progress import Stage, duration
from runs.store.folder import RunFolder, sibling_of
from runs.store.index import Index, read_index
from runs.store.journal import Entry, Event, Scoring
from runs.store.lines import describe
from runs.store.snapshots import Snapshot, SnapshotError, snapshots, verify

RECENT = 50  # generations that the pace is read off
SILENCE = 120.0  # seconds without news, or ten generations, after which a run may be dead


def inspect_run(run_dir: str | Path, progress: Stage | None = None) -> dict[str, Any]:
    """Return a run's state as JSON values.

    Its `generation` counts the finished ones; `checksum` is that of the newest state known, at
    `checksum_generation`.

    Args:
        run_dir: the run's folder.
        progress: told how far the reading of a long journal is.

    Raises:
        ConfigError: the folder holds no run.
    """
    folder = RunFolder.open(run_dir)
    config, identity = folder.load(imported=False)
    run = identity.run if identity else None
    index = read_index(folder.journal, config.policy(), progress)
    others = list(index.others())
    scorings = [item.to_json() for item in others if isinstance(item, Scoring)]
    events = [
        {"generation": item.generation, "event": item.kind} | item.details
        for item in others
        if isinstance(item, Event)
    ]
    lines = index.lines_from(index.end - RECENT)
    recent = deque((line for line in lines if isinstance(line, Entry)), maxlen=RECENT)
    last, lineage = recent[-1] if recent else None, index.lineage
    kept, best, origin = (
        [_snapshot(snapshot, run, index) for snapshot in snapshots(part)]
        for part in (folder.snapshots, folder.best, folder.origin)
    )
    checksum, at = _newest_checksum([*kept, *origin], last)
    parent = identity.parent if identity else None
    card = folder.load_data()
    forked = any(scoring["action"] == "fork" for scoring in scorings)
    return {
        "path": str(folder.path),
        "run": run,
        "parent": parent.model_dump(mode="json") if parent else None,
        "fork": str(sibling_of(folder, identity).path) if forked else None,
        "generation": last.generation + 1 if last else at or 0,
        "generations": config.generations,
        "checksum": checksum,
        "checksum_generation": at,
        "seconds": round(index.sums.total, 3),
        "share_of_wins": {name: round(share, 4) for name, share in lineage.shares().items()},
        "last": _last(last),
        "now": _now(folder, recent, config.generations),
        "faults": dict(Counter(str(event["event"]) for event in events)),
        "best": [
            {
                "generation": child.generation,
                "mutation": child.job.operator,
                "fitness": list(child.fitness.values),
                **_named(child.score),
            }
            for child in lineage.hall_of_fame
        ],
        "scorings": scorings,
        "snapshots": kept,
        "best_snapshot": best[0] if best else None,
        "origin": origin[0] if origin else None,
        "damaged_journal_lines": index.damaged,
        "events": events,
        "data": {"name": card.name, "shape": list(card.shape), "read": card.report()},
        "config": config.model_dump(mode="json"),
    }


def _now(folder: RunFolder, recent: Sequence[Entry], generations: int) -> dict[str, Any] | None:
    """Return how a run that goes on fares: its replicas, its pace; None where it does not go on."""
    try:
        found = read_json(folder.replicas)
        replicas = [dict(replica) for replica in found["replicas"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    phases = {phase for entry in recent for phase in entry.seconds}
    pace = {
        phase: statistics.median(entry.seconds.get(phase, 0.0) for entry in recent)
        for phase in sorted(phases)
    }
    left = generations - recent[-1].generation - 1 if recent else generations
    each = pace.get("total", 0.0)
    silent = time.time() - (recent[-1].time if recent else folder.replicas.stat().st_mtime)
    dead = is_held(folder.lock) is False
    lives = not dead and silent < max(SILENCE, 10 * each)
    return {
        "replicas": replicas,
        "seconds_by_phase": pace,
        "silent_seconds": round(silent, 1),
        "lives": lives,
        "killed": dead,
        "expected_end": round(time.time() - silent + left * each) if lives and recent else None,
    }


def _snapshot(snapshot: Snapshot, run: str | None, index: Index) -> dict[str, Any]:
    """Return a snapshot of a run as JSON values; `index` is that of the run's journal."""
    try:
        manifest, entry = verify(snapshot, run), index.entry(snapshot.generation)
        if entry is not None and entry.checksum != manifest["checksum"]:
            raise SnapshotError("its checksum is not the journal's of that generation")
    except SnapshotError as error:
        return {"generation": snapshot.generation, "verifies": False, "reason": str(error)}
    return {
        "generation": snapshot.generation,
        "verifies": True,
        "checksum": manifest["checksum"],
    }


def _newest_checksum(
    kept: list[dict[str, Any]], last: Entry | None
) -> tuple[str | None, int | None]:
    sound = [snapshot for snapshot in kept if snapshot["verifies"]]
    if sound and (last is None or sound[0]["generation"] > last.generation):
        return sound[0]["checksum"], sound[0]["generation"]
    return (last.checksum, last.generation) if last else (None, None)


def _named(score: Score) -> dict[str, float]:
    """Return a score by the objectives' names; of a child that was not scored, {}."""
    return dict(zip(OBJECTIVES, score.values, strict=False))


def _last(last: Entry | None) -> dict[str, Any] | None:
    if last is None:
        return None
    return {
        "generation": last.generation,
        "scores": {
            str(job.index): {"mutation": job.operator}
            | ({"parent": job.parents[0]} if len(job.parents) == 1 else {"crossed": job.parents})
            | (_named(score) if score.finite else {"failure": score.failure})
            for job, score in zip(last.jobs, last.scores, strict=True)
        },
        "survivors": [job.index for job in last.survivors],
        "seconds": last.seconds,
    }


def _scorings(scorings: list[dict[str, Any]]) -> Iterator[Table]:
    """Yield a table of scorings, if there are any: a column per metric, the protocol above it."""
    if not scorings:
        return
    names = [MetricName.parse(name) for name in scorings[-1]["values"]]
    protocol = str(names[0]).removeprefix(f"{names[0].label}-")
    table = Table(f"scored: {protocol}", *(name.label for name in names), "", box=None)
    for scoring in scorings:
        values = ("-" if v is None else f"{v:.4g}" for v in scoring["values"].values())
        mark = " ".join(filter(None, ("best so far" if scoring["best"] else "", scoring["action"])))
        table.add_row(f"generation {scoring['scoring']}", *values, escape(printable(mark)))
    yield table


def _show_now(console: Console, now: dict[str, Any] | None) -> None:
    """Print how a run that goes on fares."""
    if now is None:
        return
    silent = duration(now["silent_seconds"])
    if now["killed"]:
        console.print(f"\nits process has died; last written {silent} ago; `resume` goes on")
    elif not now["lives"]:
        console.print(f"\nnothing written for {silent}: if its process has died, `resume` goes on")
    elif now["expected_end"] is not None:
        left = duration(max(0.0, now["expected_end"] - time.time()))
        end = time.strftime("%Y-%m-%d %H:%M", time.localtime(now["expected_end"]))
        console.print(f"\nit is running; last written {silent} ago; ends in {left}, on {end}")
    table = Table("replica", "state", "node", "process", "device", "restarts", "re-syncs", box=None)
    for replica in now["replicas"]:
        names = ("worker", "state", "node", "process", "device", "restarts", "resyncs")
        cells = (replica.get(name) for name in names)
        table.add_row(*("-" if cell is None else escape(printable(str(cell))) for cell in cells))
    console.print()
    console.print(table)
    if now["seconds_by_phase"]:
        parts = (f"{phase} {value:.3g}" for phase, value in now["seconds_by_phase"].items())
        console.print(f"\nseconds of a generation, medians of the last: {', '.join(parts)}")


def render(found: dict[str, Any]) -> None:
    """Print what `inspect_run` found."""
    console = Console(highlight=False)
    config = found["config"]
    path = escape(printable(found["path"]))
    console.print(f"[bold]{config['name']}[/] in {path}", soft_wrap=True)
    console.print(
        f"generation {found['generation']} of {found['generations']}, "
        f"{duration(found['seconds'])} of work; backbone {config['backbone']['name']}, "
        f"seed {config['seed']}, selection {config['selection']['name']}"
    )
    for line in found["data"]["read"]:
        console.print(escape(printable(line)), soft_wrap=True)
    if condition := config["data"].get("condition"):
        console.print(f"  fakes are generated for {condition} (data.condition)")
    if parent := found["parent"]:
        origin = escape(printable(str(parent["folder"])))
        console.print(f"forked from generation {parent['generation']} of {origin}", soft_wrap=True)
    if found["fork"]:
        console.print(f"goes on in {escape(printable(found['fork']))}", soft_wrap=True)
    if found["checksum"]:
        console.print(f"checksum {found['checksum']} at generation {found['checksum_generation']}")
    _show_now(console, found["now"])
    wins = Table("mutation", "share of wins", box=None)
    for name, share in found["share_of_wins"].items():
        wins.add_row(escape(printable(name)), f"{share:.1%}")
    names = [name for name in OBJECTIVES if any(name in entry for entry in found["best"])]
    best = Table("best of all", "generation", *names, box=None)
    for entry in found["best"][:5]:
        best.add_row(
            escape(printable(entry["mutation"])),
            str(entry["generation"]),
            *(f"{entry[name]:.4f}" for name in names),
        )
    kept = Table("snapshot", "verifies", box=None)
    named = [("", snapshot) for snapshot in found["snapshots"]]
    named += [("best: ", found["best_snapshot"]), ("forked from: ", found["origin"])]
    for name, snapshot in named:
        if snapshot is not None:
            reason = escape(printable(snapshot.get("reason", "")))
            verdict = "yes" if snapshot["verifies"] else f"NO: {reason}"
            kept.add_row(f"{name}generation {snapshot['generation']}", verdict)
    for table in (wins, best, *_scorings(found["scorings"][-10:]), kept):
        console.print()
        console.print(table)
    if found["damaged_journal_lines"]:
        console.print(f"\n{found['damaged_journal_lines']} damaged line(s) in the journal")
    if found["faults"]:
        counts = (f"{kind} {count}" for kind, count in found["faults"].items())
        console.print(f"\nsurvived, and other events: {', '.join(counts)}", soft_wrap=True)
    for event in found["events"]:
        console.print(printable(f"event: {describe(event)}"), markup=False, soft_wrap=True)
