"""Tournaments as a user starts them, killed at any moment, go on to the same bits and files."""

import random
import signal
import time
from contextlib import suppress

import psutil
import pytest

from runs.store.folder import RunFolder
from runs.store.journal import Entry, read_journal
from runs.store.snapshots import newest, snapshots
from runs.tournament.islands import TournamentFolder
from tests.runs.training.test_cluster import cluster_by_hand

COMPARED = ("decisions.jsonl", "result.json", "winner.yaml", "tournament.yaml")


@pytest.fixture
def config(tmp_path, tiny_text):
    """A tournament of four islands, long enough to be hit."""
    text = tiny_text.replace("count: 2", "count: 4").replace("steps: 200", "steps: 3000")
    path = tmp_path / "tiny.yaml"
    path.write_text(text)
    return path


def end(process) -> str:
    out, err = process.communicate(timeout=300)
    return out + err


def courses(folder: TournamentFolder) -> dict[str, list]:
    """What each life went through, from its journal, and the state that it ended with."""
    found = {}
    for path in sorted((folder.path / "islands").iterdir()):
        run = RunFolder(path)
        entries = [line for line in read_journal(run.journal) if isinstance(line, Entry)]
        course = [(entry.generation, entry.checksum, entry.survivors) for entry in entries]
        state, checksum, _ = newest(run.snapshots if snapshots(run.snapshots) else run.origin)
        found[path.name] = [*dict.fromkeys(course), (state.generation, checksum)]
    return found


@pytest.mark.long
def test_killed_at_any_moment_it_ends_in_the_same_bits_files_and_decisions(start, config, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    said = end(start("tournament", config, "--output", whole, "--at-once", 2))
    assert "winner:" in said, said
    rng, blows, ends = random.Random(0), [], 0
    while not (broken / "result.json").is_file():
        process = start("tournament", config, "--output", broken, "--at-once", rng.choice([1, 2]))
        blow = (("main", "worker", "term")[len(blows) % 3]) if len(blows) < 5 else None
        if blow is not None:
            _strike(process, blow, broken, rng)
            blows.append(blow)
        said = end(process)
        ends += 1
        assert ends < 12, said
    assert len(blows) >= 3
    for name in COMPARED:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    one, other = TournamentFolder(whole), TournamentFolder(broken)
    assert courses(one) == courses(other)
    assert [run.name for run in one.kept.iterdir()] == [run.name for run in other.kept.iterdir()]


def _strike(process, blow, folder, rng) -> None:
    """Wait until a worker has begun, and a little more; then kill what the blow says."""
    deadline = time.monotonic() + 60
    record = folder / "decisions.jsonl"
    size = record.stat().st_size if record.is_file() else 0
    while process.poll() is None and time.monotonic() < deadline:
        if record.is_file() and record.stat().st_size > size:
            break  # a round was decided: forks are made about now
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.5))
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        if blow == "worker":
            for worker in psutil.Process(process.pid).children()[:1]:
                worker.kill()  # another one takes its place, and the tournament goes on
            time.sleep(rng.uniform(0, 1))
            process.send_signal(signal.SIGKILL)
        else:
            process.send_signal(signal.SIGKILL if blow == "main" else signal.SIGTERM)


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_on_a_cluster_it_ends_in_the_same_bits_and_files_after_a_kill(start, tiny_text, tmp_path):
    whole, broken, config = tmp_path / "whole", tmp_path / "broken", tmp_path / "tiny.yaml"
    config.write_text(tiny_text.replace("{executor: local}", "{executor: ray, ship_code: true}"))
    said = end(start("tournament", config, "--output", whole))
    assert "core(s)" in said and "winner:" in said, said
    with cluster_by_hand() as cluster:
        process = cluster.run("tournament", config, "--output", broken)
        deadline = time.monotonic() + 300
        while not (broken / "decisions.jsonl").is_file():
            assert process.poll() is None and time.monotonic() < deadline, end(process)
            time.sleep(0.1)
        process.kill()
        end(process)
        assert not (broken / "result.json").is_file()
        said = end(cluster.run("tournament", config, "--output", broken))
    assert "on the Ray cluster, 1 worker(s) each" in said and "winner:" in said, said
    for name in COMPARED:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    assert courses(TournamentFolder(broken)) == courses(TournamentFolder(whole))
