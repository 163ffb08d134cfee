"""Folders that former versions wrote: looked into, sampled, scored and resumed as they would have.

The bits are compared where torch and the processor are those that the folders were made on.
"""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from runs import resume, sample
from runs.batch.child import DONE
from runs.common.errors import ConfigError
from runs.common.formats import FORMAT, STAMP
from runs.display.inspection import inspect_run
from runs.store.folder import RunFolder
from runs.store.identity import digests
from runs.store.journal import Entry, read_head, read_journal, seal
from runs.store.snapshots import MANIFEST, snapshots, verify
from runs.study.folder import StudyFolder
from runs.study.records import read_outcome, write_outcome
from runs.study.trial import run_trial
from tests.runs.copies import copy_of, record

OLD = Path(__file__).parents[2] / "data" / "format1"
EXPECTED = json.loads((OLD / "expected.json").read_text())

pytestmark = pytest.mark.usefixtures("without_pictures")


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    vendor = next((s.split(": ")[1] for s in lines if s.startswith("vendor_id")), "unknown")
    return f"{vendor} {torch.backends.cpu.get_cpu_capability()}"


@pytest.fixture
def same_machine() -> None:
    here = {"torch": torch.__version__.partition("+")[0], "processor": processor()}
    if here != EXPECTED["made_on"]:
        pytest.skip(f"made on {EXPECTED['made_on']}, here is {here}")


@pytest.fixture
def digits(tmp_path) -> Path:
    return copy_of(OLD / "digits", tmp_path)


def generations(folder: Path) -> list[int]:
    lines = read_journal(folder / "journal.jsonl")
    return [line.generation for line in lines if isinstance(line, Entry)]


# ---------------------------------------------------------------------------------------- read only


def test_an_old_run_is_inspected_and_nothing_of_it_is_changed(digits):
    before = {path: path.read_bytes() for path in digits.rglob("*") if path.is_file()}
    found = inspect_run(digits)
    assert (found["generation"], found["generations"]) == (27, 30)
    assert found["damaged_journal_lines"] == 0
    assert [s["verifies"] for s in found["snapshots"]] == [True, True]
    assert [s["scoring"] for s in found["scorings"]] == [6, 12, 18, 24]
    assert {path: path.read_bytes() for path in digits.rglob("*") if path.is_file()} == before


def test_events_of_an_old_journal_are_shown(tmp_path):
    found = inspect_run(copy_of(OLD / "points", tmp_path))
    assert found["events"] == [{"generation": 10, "event": "resumed", "replayed": 0}]
    assert [s["scoring"] for s in found["scorings"] if s["action"] == "rollback"] == [25, 30]


@pytest.mark.parametrize("name", ["digits", "points"])
def test_an_old_run_is_sampled_to_the_same_bits(name, tmp_path, same_machine):
    samples = sample(copy_of(OLD / name, tmp_path), 16, 1)
    digest = hashlib.sha256(samples.tobytes()).hexdigest()
    assert digest.startswith(EXPECTED["samples"][name])


def test_an_old_run_is_scored_as_before(digits, invoke):
    options = ("--metrics", "fid", "--space", "pixels", "--count", "200", "--json")
    done = invoke("evaluate", digits, *options)
    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)["values"]
    assert values["fid-pixels-200"] == pytest.approx(EXPECTED["fid-pixels-200"], rel=1e-4)


# ------------------------------------------------------------------------------------------ resumed


def test_an_old_run_is_resumed_to_the_bits_that_it_would_have_reached(digits, same_machine):
    assert resume(digits).checksum == EXPECTED["checksums"]["digits"]


def test_a_resumed_old_run_is_of_the_present_format_and_has_one_identity(digits):
    former = record(digits)
    assert RunFolder(digits).load_identity() is None
    assert resume(digits).finished
    assert generations(digits) == list(range(30))
    head = read_head(digits / "journal.jsonl")
    config = yaml.safe_load((digits / "config.yaml").read_text())
    manifest = verify(snapshots(digits / "snapshots")[0])
    assert head["format"] == config["format"] == manifest["format"] == FORMAT
    assert head["run"] == config["run"] == manifest["run"]
    assert record(digits)[: len(former)] == [
        {key: value for key, value in line.items() if key != "events"} for line in former
    ]
    assert resume(digits, generations=31).finished
    assert read_head(digits / "journal.jsonl") == head


def test_killed_after_its_journal_was_converted_an_old_run_keeps_the_identity(digits, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_config", killed)
        with pytest.raises(KeyboardInterrupt):
            resume(digits)
    head = read_head(digits / "journal.jsonl")
    assert head["format"] == FORMAT and "run" not in (digits / "config.yaml").read_text()
    assert resume(digits).finished
    assert RunFolder(digits).load_identity().run == head["run"]


def test_an_old_journal_whose_first_line_is_damaged_costs_that_generation_alone(digits):
    journal = digits / "journal.jsonl"
    journal.write_bytes(b"x" + journal.read_bytes())
    assert resume(digits).finished
    assert generations(digits) == list(range(1, 30))


def test_a_damaged_first_line_is_made_again(digits):
    resume(digits)
    head = read_head(digits / "journal.jsonl")
    journal = digits / "journal.jsonl"
    journal.write_bytes(b"x" + journal.read_bytes())
    assert generations(digits) == list(range(30))
    resume(digits)
    assert read_head(journal) == head
    assert generations(digits) == list(range(30))


def test_an_old_study_goes_on_to_the_same_bits(tmp_path, same_machine):
    folder = StudyFolder(copy_of(OLD / "study", tmp_path))
    assert read_outcome(folder.run("evolution", 0))["status"] == "finished"
    folder.keep(folder.load())
    assert yaml.safe_load(folder.config.read_text())["format"] == FORMAT
    for strategy, seed in folder.load().trials:
        assert run_trial(folder, strategy, seed, {}) == DONE
        expected = EXPECTED["checksums"][f"study/{strategy}/{seed}"]
        assert read_outcome(folder.run(strategy, seed))["checksum"] == expected


# ---------------------------------------------------------------------------------- newer formats


def newer_json(path: Path) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"format": FORMAT + 1, "version": "9.4"}))


def newer_yaml(path: Path) -> None:
    value = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({"format": FORMAT + 1, "version": "9.4"} | value))


@pytest.mark.parametrize("command", ["resume", "inspect", "sample"])
@pytest.mark.parametrize("name", ["config.yaml", "data.json"])
def test_a_run_of_a_newer_format_is_refused_in_one_line(command, name, digits, mistake):
    (newer_yaml if name == "config.yaml" else newer_json)(digits / name)
    out = ("--out", "x.png") if command == "sample" else ()
    message = mistake(command, digits, *out)
    assert f"{name} was written by version 9.4 (format {FORMAT + 1})" in message
    assert "Use version 9.4 or a newer one" in message
    assert len(message.strip().splitlines()) == 1


def test_a_newer_journal_is_refused(digits):
    resume(digits)
    journal = digits / "journal.jsonl"
    newer = seal({"format": FORMAT + 1, "version": "9.4", "run": "a" * 32})
    journal.write_text(newer + journal.read_text().partition("\n")[2])
    with pytest.raises(ConfigError, match=r"journal.jsonl was written by version 9.4"):
        resume(digits)


def test_a_newer_snapshot_is_passed_over_with_the_reason(digits):
    newer_json(digits / "snapshots" / "generation-00000020" / MANIFEST)
    reason = inspect_run(digits)["snapshots"][0]["reason"]
    assert "was written by version 9.4" in reason


def test_a_newer_study_is_refused(tmp_path):
    folder = StudyFolder(copy_of(OLD / "study", tmp_path))
    newer_yaml(folder.config)
    with pytest.raises(ConfigError, match=r"study.yaml was written by version 9.4"):
        folder.load()


# ------------------------------------------------------------------------------ what is written now


def test_whatever_is_written_names_format_and_version(images_run, tmp_path):
    folder = RunFolder(images_run)
    run = folder.load_identity().run
    decides = digests(folder.load_config())
    assert read_head(folder.journal) == {**STAMP, "run": run, "decides": decides}
    config = yaml.safe_load(folder.config.read_text())
    assert {key: config[key] for key in ("format", "version", "run")} == {**STAMP, "run": run}
    assert json.loads(folder.data.read_text()).items() >= STAMP.items()
    manifest = verify(snapshots(folder.snapshots)[0])
    assert manifest.items() >= {**STAMP, "run": run}.items()
    write_outcome(tmp_path, "finished")
    assert json.loads((tmp_path / "outcome.json").read_text()).items() >= STAMP.items()


def test_each_run_has_an_identity_of_its_own_also_one_of_another_runs_config(
    images_run, invoke, tmp_path
):
    again = tmp_path / "again"
    shutil.copy(images_run / "config.yaml", tmp_path / "config.yaml")
    assert invoke("train", tmp_path / "config.yaml", "--output", again).exit_code == 0
    assert RunFolder(again).load_identity().run != RunFolder(images_run).load_identity().run
