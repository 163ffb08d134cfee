import json
import shutil

import pytest

from runs.common.errors import ConfigError
from runs.display.inspection import inspect_run, render
from runs.store.folder import RunFolder
from runs.store.index import LONG
from runs.store.snapshots import MANIFEST, _seal
from tests.runs.copies import copy_of, without_id


def test_the_reading_of_a_long_journal_shows_how_far_it_is(points_run, tmp_path):
    folder = copy_of(points_run[0], tmp_path)
    journal = folder / "journal.jsonl"
    head, *lines = journal.read_text().splitlines(keepends=True)
    times = 2 * LONG // len(lines) + 1
    journal.write_text(head + "".join(lines) * times)
    told: list[tuple[int, int]] = []
    found = inspect_run(folder, lambda _, done, total: told.append((done, total)))
    assert found["generation"] == 30  # what is there twice counts once
    assert len(told) == 2 and told == sorted(told) and told[0][1] == journal.stat().st_size


def test_a_short_journal_is_read_without_a_word(points_run):
    told: list[str] = []
    assert inspect_run(points_run[0], lambda name, *_: told.append(name))["generation"] == 30
    assert told == []


def test_snapshots_that_are_not_the_runs_own_do_not_verify(points_run, images_run, tmp_path):
    folder = copy_of(points_run[0], tmp_path)
    path = folder / "snapshots" / "generation-00000020"
    shutil.rmtree(path)
    shutil.copytree(images_run / "snapshots" / "generation-00000006", path)
    manifest = json.loads((path / MANIFEST).read_text()) | {"generation": 20}
    del manifest["seal"]
    (path / MANIFEST).write_text(json.dumps(manifest | {"seal": _seal(manifest)}))
    shown = {s["generation"]: s for s in inspect_run(folder)["snapshots"]}
    assert shown[20] == {"generation": 20, "verifies": False, "reason": "it is of another run"}
    without_id(path)  # as an old version wrote it
    shown = {s["generation"]: s for s in inspect_run(folder)["snapshots"]}
    assert shown[20]["reason"] == "its checksum is not the journal's of that generation"
    assert shown[30]["verifies"] and shown[10]["verifies"]


def test_events_are_shown_in_words(points_run, capsys):
    lost = {"generation": 3, "event": "worker-lost", "worker": 1, "cause": "memory"}
    found = inspect_run(points_run[0]) | {"events": [lost, {"event": "resumed"}]}
    render(found)
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "event: worker lost (generation 3, worker 1, cause memory)",
        "event: resumed",
    ]


def test_a_run_of_a_users_own_parts_is_shown_where_they_are_not(points_run, tmp_path):
    folder = copy_of(points_run[0], tmp_path)
    text = (folder / "config.yaml").read_text()
    text = text.replace("paced:paced", "nowhere:mutation").replace("name: mlp", "name: nowhere:Net")
    (folder / "config.yaml").write_text(text)
    found = inspect_run(folder)
    assert found["generation"] == 30
    assert found["config"]["backbone"]["name"] == "nowhere:Net"
    assert found["config"]["backbone"]["width"] == 8
    assert found["config"]["population"]["mutations"][-1] == "nowhere:mutation"
    render(found)
    with pytest.raises(ConfigError, match="nowhere:mutation' cannot be imported"):
        RunFolder(folder).load_config()
