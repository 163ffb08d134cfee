"""Runs from end to end: as a process, killed, stopped, damaged, resumed."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file, save_file

from populations.executors.local import LocalExecutor
from runs import evolve, load_config, resume
from runs.common.errors import ConfigError
from runs.display.inspection import inspect_run
from runs.store.snapshots import MANIFEST, STATE, snapshots, verify
from tests.runs.copies import checksum, copy_of, events, interrupted, kinds, record


def kill(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


# --------------------------------------------------------------------------------------- the folder


def test_a_runs_folder_holds_what_it_promises(points_run):
    folder, _ = points_run
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    grids = {f"samples/generation-{n:08d}.png" for n in (10, 20, 30)}
    plots = {"plots/scores.png", "plots/wins.png", "plots/training.png"}
    kept = {
        f"snapshots/generation-{n:08d}/{name}"
        for n in (10, 20, 30)
        for name in (STATE, "manifest.json")
    }
    assert found == {"config.yaml", "data.json", "journal.jsonl", "journal.lock"} | (
        grids | plots | kept
    )
    for name in grids | plots:
        with Image.open(folder / name) as image:
            image.verify()
            assert image.format == "PNG"


def test_the_written_config_is_whole_and_gives_the_same_run(points_run, invoke, tmp_path):
    folder, expected = points_run
    values = yaml.safe_load((folder / "config.yaml").read_text())
    assert values["optimizer"]["eps"] == 1e-8 and values["generations"] == 30
    again = invoke("train", folder / "config.yaml", "--output", tmp_path / "again")
    assert again.exit_code == 0
    assert checksum(again.output) == expected
    assert record(tmp_path / "again") == record(folder)


def test_the_journal_has_a_line_for_each_generation(points_run):
    lines = record(points_run[0])
    assert [line["generation"] for line in lines] == list(range(30))
    for line in lines:
        assert [job[2] for job in line["jobs"]] == ["minimax", "heuristic", "paced:paced"]
        assert len(line["scores"]) == 3 and all(len(scores) == 2 for scores in line["scores"])
        assert len(line["survivors"]) == 1 and line["failures"] == {}
        assert bool(line["training"]) == (line["generation"] > 0)
    assert len({line["checksum"] for line in lines}) == 30


def test_the_seed_decides_the_run(points_run, points_yaml, tmp_path):
    _, expected = points_run
    assert evolve(load_config(points_yaml), tmp_path / "a").checksum == expected
    assert evolve(load_config(points_yaml, seed=4), tmp_path / "b").checksum != expected


def test_a_run_without_an_output_is_named_after_the_config_and_the_time(
    invoke, images_yaml, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = invoke("train", images_yaml, "--set", "generations=1")
    assert result.exit_code == 0
    (folder,) = (tmp_path / "outputs").iterdir()
    assert folder.name.startswith("images-2")
    assert f"outputs/{folder.name}" in result.output


def test_starting_over_an_existing_run_is_refused_and_touches_nothing(
    points_run, points_yaml, mistake
):
    folder, _ = points_run
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    message = mistake("train", points_yaml, "--output", folder, "--seed", "9")
    assert "holds a run already" in message and "resume" in message
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_after_a_mistake_the_same_output_may_be_used(mistake, invoke, images_yaml, tmp_path):
    folder = tmp_path / "run"
    mistake("train", images_yaml, "--output", folder, "--set", "data.resolution=17")
    assert not folder.exists()
    assert invoke("train", images_yaml, "--output", folder).exit_code == 0


def test_a_mistake_leaves_a_users_own_files_alone(mistake, images_yaml, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    mistake("train", images_yaml, "--output", tmp_path, "--set", "data.resolution=17")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_output_that_cannot_be_made_is_a_mistake(mistake, points_yaml, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in mistake("train", points_yaml, "--output", tmp_path / "file")


# ---------------------------------------------------------------------------------- kill and resume


@pytest.fixture(scope="module")
def hundred(points_yaml, run, tmp_path_factory) -> tuple[Path, str]:
    """An undisturbed run of 100 generations."""
    folder = tmp_path_factory.mktemp("hundred") / "run"
    done = run("train", points_yaml, "--set", "generations=100", "--output", folder)
    assert done.returncode == 0, done.stderr
    return folder, checksum(done.stdout)


def resumed_after_kills(
    moments, start, run, until_lines, folder, begin
) -> subprocess.CompletedProcess:
    """Kill a run once at each number of journal lines; then let it end."""
    for place, moment in enumerate(moments):
        arguments = ("resume", folder) if place else begin
        process = start(*arguments, PAUSE="0.02")
        until_lines(process, folder, moment)
        kill(process)
    done = run("resume", folder)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_killed_again_and_again_a_run_ends_in_the_same_bits(
    hundred, points_yaml, start, run, until_lines, tmp_path
):
    folder = tmp_path / "run"
    begin = ("train", points_yaml, "--set", "generations=100", "--output", folder)
    moments = (4, 20 + time.time_ns() % 40)  # before the first snapshot, and at no chosen place
    done = resumed_after_kills(moments, start, run, until_lines, folder, begin)
    assert checksum(done.stdout) == hundred[1]
    assert record(folder) == record(hundred[0])
    assert kinds(folder).count("resumed") == 2


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_at_many_moments_while_snapshots_are_written_a_run_ends_in_the_same_bits(
    hundred, points_yaml, start, run, until_lines, tmp_path
):
    folder = tmp_path / "run"
    begin = (
        *("train", points_yaml, "--set", "generations=100", "--set", "checkpoint.every=1"),
        *("--output", folder),
    )
    moments = (1, 2, 9, 10, 11, 30, 31, 55, 80, 97)
    done = resumed_after_kills(moments, start, run, until_lines, folder, begin)
    assert checksum(done.stdout) == hundred[1]
    assert record(folder) == record(hundred[0])
    assert all(verify(snapshot) for snapshot in snapshots(folder / "snapshots"))
    assert len(list((folder / "snapshots").iterdir())) == 3


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_by_the_clock_a_run_of_images_ends_in_the_same_bits(
    images_yaml, start, run, until_lines, tmp_path
):
    options = ("--set", "generations=400", "--set", "checkpoint.every=20")
    done = run("train", images_yaml, *options, "--output", tmp_path / "whole")
    folder = tmp_path / "run"
    for attempt in range(5):
        train = ("train", images_yaml, *options, "--output", folder)
        lines = (folder / "journal.jsonl").read_bytes().count(b"\n") if attempt else 0
        process = start(*(("resume", folder) if attempt else train))
        until_lines(process, folder, lines + 1)
        time.sleep(attempt * 0.07)
        if process.poll() is None:
            kill(process)
    again = run("resume", folder)
    assert again.returncode == 0, again.stderr
    assert checksum(again.stdout) == checksum(done.stdout)
    assert record(folder) == record(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_generation_and_resuming_ends_in_the_same_bits(
    number, hundred, points_yaml, start, invoke, until_lines, tmp_path
):
    folder = tmp_path / "a run"
    process = start(
        "train", points_yaml, "--set", "generations=100", "--output", folder, PAUSE="0.02"
    )
    until_lines(process, folder, 5)
    os.killpg(process.pid, number)  # as a terminal does
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr
    assert "Traceback" not in stderr
    generation = len(record(folder))
    assert 5 <= generation < 100
    newest = snapshots(folder / "snapshots")[0]
    assert newest.generation == generation
    assert verify(newest)["checksum"] == checksum(stdout)
    assert signal.Signals(number).name in stdout
    assert f"resume '{folder}'" in stdout
    done = invoke("resume", folder)
    assert done.exit_code == 0
    assert checksum(done.output) == hundred[1]
    assert record(folder) == record(hundred[0])


def test_more_generations_end_where_a_longer_run_would_have(points_run, hundred, invoke, tmp_path):
    folder = copy_of(points_run[0], tmp_path)
    done = invoke("resume", folder, "--generations", "100")
    assert done.exit_code == 0
    assert checksum(done.output) == hundred[1]
    assert record(folder) == record(hundred[0])
    assert yaml.safe_load((folder / "config.yaml").read_text())["generations"] == 100


def test_resuming_a_finished_run_changes_nothing(points_run, invoke, tmp_path):
    folder = copy_of(points_run[0], tmp_path)
    before = record(folder), snapshots(folder / "snapshots")
    done = invoke("resume", folder)
    assert done.exit_code == 0 and checksum(done.output) == points_run[1]
    assert (record(folder), snapshots(folder / "snapshots")) == before


def test_fewer_generations_than_are_done_are_refused(points_run, mistake, tmp_path):
    folder = copy_of(points_run[0], tmp_path)
    assert "30" in mistake("resume", folder, "--generations", "5")
    assert yaml.safe_load((folder / "config.yaml").read_text())["generations"] == 30


def test_two_processes_do_not_write_to_one_run(
    points_yaml, start, invoke, mistake, until_lines, tmp_path
):
    folder = tmp_path / "run"
    process = start(
        "train", points_yaml, "--set", "generations=100000", "--output", folder, PAUSE="0.02"
    )
    until_lines(process, folder, 1)
    assert "another process" in mistake("resume", folder)
    assert "it goes on; last news" in invoke("inspect", folder).output
    kill(process)
    assert "its process is dead; last news" in invoke("inspect", folder).output


# ------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("keep", [1, 9, 10, 11, 20, 29])
def test_resumed_after_any_generation_a_run_ends_in_the_same_bits(
    keep, points_run, invoke, tmp_path
):
    folder = interrupted(points_run[0], tmp_path, keep)
    done = invoke("resume", folder)
    assert done.exit_code == 0
    assert checksum(done.output) == points_run[1]
    assert record(folder) == record(points_run[0])


def test_a_corrupted_newest_snapshot_is_passed_over_with_a_message(points_run, invoke, tmp_path):
    folder = interrupted(points_run[0], tmp_path, 25)
    state = folder / "snapshots" / "generation-00000020" / STATE
    content = bytearray(state.read_bytes())
    content[-1] ^= 1
    state.write_bytes(content)
    done = invoke("resume", folder)
    assert done.exit_code == 0
    assert "passed over generation-00000020" in done.output and "SHA-256" in done.output
    assert checksum(done.output) == points_run[1]
    assert record(folder) == record(points_run[0])
    assert verify(snapshots(folder / "snapshots")[0])


def test_without_any_sound_snapshot_the_journal_alone_gives_the_same_bits(
    points_run, invoke, tmp_path
):
    folder = interrupted(points_run[0], tmp_path, 25)
    shutil.rmtree(folder / "snapshots")
    done = invoke("resume", folder)
    assert checksum(done.output) == points_run[1]
    assert record(folder) == record(points_run[0])
    kept = [snapshot.generation for snapshot in snapshots(folder / "snapshots")]
    assert kept == [30, 25]  # the one at 25 at once: another kill would replay them all again


def test_without_its_journal_a_run_goes_on_from_its_snapshot(points_run, invoke, tmp_path):
    folder = interrupted(points_run[0], tmp_path, 25)
    (folder / "journal.jsonl").unlink()
    done = invoke("resume", folder)
    assert checksum(done.output) == points_run[1]
    assert record(folder) == record(points_run[0])[20:]


def test_a_damaged_journal_is_mended(points_run, invoke, tmp_path):
    folder = interrupted(points_run[0], tmp_path, 25)
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    lines[22] = b"\xff\x00 damage\n"
    (folder / "journal.jsonl").write_bytes(b"".join(lines) + b'{"generation":25,"ti')
    done = invoke("resume", folder)
    assert "line 23" in done.output and "line 27" in done.output
    assert checksum(done.output) == points_run[1]
    assert record(folder) == record(points_run[0])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", b"\xff"),
        ("config.yaml", b"name: [\n"),
        ("config.yaml", b"name: x\n"),
        ("data.json", b""),
        ("data.json", b"{}"),
        ("data.json", b"[]"),
        ("data.json", b'{"shape": 5}'),
    ],
)
@pytest.mark.parametrize("command", ["resume", "inspect", "sample"])
def test_a_damaged_file_of_a_run_is_named(command, name, content, points_run, mistake, tmp_path):
    folder = copy_of(points_run[0], tmp_path)
    (folder / name).write_bytes(content)
    options = ("--out", tmp_path / "x.png") if command == "sample" else ()
    assert name in mistake(command, folder, *options)


@pytest.mark.parametrize("command", ["resume", "inspect", "sample"])
def test_what_is_no_run_is_a_mistake(command, mistake, tmp_path):
    options = ("--out", tmp_path / "x.png") if command == "sample" else ()
    assert "not a run's folder" in mistake(command, tmp_path / "nowhere", *options)
    assert "not a run's folder" in mistake(command, tmp_path, *options)


def test_other_data_than_the_run_began_with_are_refused(images_yaml, invoke, mistake, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    folder = tmp_path / "run"
    options = ("--set", "data.source=array", "--set", f"data.path={tmp_path / 'images.npy'}")
    assert invoke("train", images_yaml, *options, "--output", folder).exit_code == 0
    images[7, 3, 3] ^= 1
    np.save(tmp_path / "images.npy", images)
    assert "data have changed" in mistake("resume", folder, "--generations", "8")
    images[7, 3, 3] ^= 1
    np.save(tmp_path / "images.npy", images)
    assert invoke("resume", folder, "--generations", "8").exit_code == 0
    (tmp_path / "images.npy").unlink()
    assert "images.npy" in mistake("resume", folder, "--generations", "9")


def test_a_full_disk_costs_the_snapshots_and_not_the_run(points_yaml, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("runs.training.saving.write_snapshot", full)
    said: list[str] = []

    class Listener:
        def start(self, config, generation):
            pass

        def generation(self, entry, lineage):
            pass

        def message(self, text):
            said.append(text)

        def close(self):
            pass

    result = evolve(load_config(points_yaml), tmp_path / "run", Listener())
    assert result.finished and result.generation == 30
    warnings = [text for text in said if "No space left" in text]
    assert len(warnings) == 3
    # That of the last snapshot, too, which no generation's line took.
    assert kinds(tmp_path / "run").count("snapshot-failed") == 3
    assert inspect_run(tmp_path / "run")["faults"] == {"snapshot-failed": 3}


def test_what_befalls_the_workers_while_they_settle_is_in_the_journal(
    points_yaml, tmp_path, monkeypatch
):
    class Befallen(LocalExecutor):
        def step(self, generation, survivors, jobs, scored=True):
            outcome = super().step(generation, survivors, jobs, scored)
            lost = () if jobs else ({"event": "worker-lost", "worker": 0},)
            return replace(outcome, events=lost)

    monkeypatch.setattr("runs.training.placement.LocalExecutor", Befallen)
    evolve(load_config(points_yaml), tmp_path / "run")
    assert [event.generation for event in events(tmp_path / "run")] == [10, 20, 30, 30]


def reseal(snapshot: Path, change) -> None:
    """Change a snapshot's arrays or manifest, and make its sums right again."""
    arrays, manifest = load_file(snapshot / STATE), json.loads((snapshot / MANIFEST).read_text())
    change(arrays, manifest)
    save_file(arrays, snapshot / STATE)
    manifest["files"][STATE] = hashlib.sha256((snapshot / STATE).read_bytes()).hexdigest()
    del manifest["seal"]
    text = json.dumps(manifest, sort_keys=True)
    manifest["seal"] = hashlib.sha256(text.encode()).hexdigest()
    (snapshot / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda a, m: a.pop("discriminator.second_moment"), "discriminator.second_moment"),
        (lambda a, m: a.pop("parents.0.generator.params"), "parents.0.generator.params"),
        (lambda a, m: a.update({"discriminator.params": np.zeros(3, "f4")}), "(3,)"),
        (
            lambda a, m: a.update({k: v.astype("f8") for k, v in a.items()}),
            "float64",
        ),
        (lambda a, m: a.update({"parents.1.generator.params": np.zeros(3, "f4")}), "parents.1"),
        (lambda a, m: m["steps"].pop("discriminator"), "steps"),
        (lambda a, m: m["steps"].update({"discriminator": -1}), "steps"),
    ],
)
def test_a_forged_snapshot_that_verifies_is_refused(change, named, points_run, mistake, tmp_path):
    folder = interrupted(points_run[0], tmp_path, 25)
    before = (folder / "journal.jsonl").read_bytes()
    reseal(snapshots(folder / "snapshots")[0].path, change)
    message = mistake("resume", folder)
    assert named in message and "generation 20" in message
    assert (folder / "journal.jsonl").read_bytes() == before


# ------------------------------------------------------------------------------- what is not finite


def test_a_mutation_that_gives_nan_loses_its_child_and_not_the_run(
    own_modules, run, points_yaml, tmp_path
):
    folder = tmp_path / "run"
    done = run(
        *("train", points_yaml, "--output", folder),
        *("--set", "population.mutations=[heuristic, 'failing:later']"),
    )
    assert done.returncode == 0, done.stderr
    lines = record(folder)
    assert len(lines) == 30
    failed = [line["generation"] for line in lines if line["failures"]]
    assert failed == list(range(12, 30))
    for line in lines[12:]:
        assert line["failures"] == {"1": "loss is nan at step 0"}
        assert line["scores"][1] == [None, None]
        assert line["survivors"] == [0]


def test_when_no_child_is_finite_the_run_says_why_and_keeps_its_snapshot(
    run, points_yaml, tmp_path
):
    folder = tmp_path / "run"
    done = run(
        *(
            "train",
            points_yaml,
            "--output",
            folder,
            "--set",
            "population.mutations=['failing:later']",
        )
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (message,) = done.stderr.splitlines()
    assert "generation 12" in message and "failing:later" in message and "loss is nan" in message
    assert len(record(folder)) == 12
    newest = snapshots(folder / "snapshots")[0]
    assert newest.generation == 10 and verify(newest)
    assert (folder / "plots" / "scores.png").is_file()


# ---------------------------------------------------------------------------------------------- Ray


@pytest.mark.timeout(280)
def test_two_ray_workers_give_the_bits_of_one_process(run, tmp_path):
    options = (
        *("train", "digits", "--set", "generations=6", "--set", "backbone.width=8"),
        *("--set", "tracking.enabled=false"),
    )
    local = run(*options, "--executor", "local", "--output", tmp_path / "local")
    ray = run(*options, "--executor", "ray", "--workers", "2", "--output", tmp_path / "ray")
    assert local.returncode == 0, local.stderr
    assert ray.returncode == 0, ray.stderr
    assert "2 Ray worker(s)" in ray.stdout
    assert checksum(ray.stdout) == checksum(local.stdout)
    assert record(tmp_path / "ray") == record(tmp_path / "local")
    assert ray.stderr == ""


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ctrl_c_in_a_terminal_stops_a_run_on_ray_after_a_generation(
    start, invoke, until_lines, tmp_path
):
    folder = tmp_path / "run"
    options = ("--set", "backbone.width=8", "--set", "tracking.enabled=false", "--workers", "2")
    process = start("train", "digits", *options, "--executor", "ray", "--output", folder)
    until_lines(process, folder, 5)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 3, stderr
    generation = snapshots(folder / "snapshots")[0].generation
    done = invoke(
        "train", folder / "config.yaml", "--executor", "local", "--output", tmp_path / "local",
        "--set", f"generations={generation}",
    )  # fmt: skip
    assert checksum(done.output) == checksum(stdout)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_killed_on_ray_a_run_resumes_in_this_process_to_the_same_bits(
    start, invoke, until_lines, tmp_path
):
    folder = tmp_path / "run"
    options = (
        *("--set", "backbone.width=8", "--set", "tracking.enabled=false"),
        *("--set", "generations=60", "--set", "checkpoint.every=10"),
    )
    process = start("train", "digits", *options, "--workers", "2", "--output", folder)
    until_lines(process, folder, 15)
    kill(process)
    done = invoke("resume", folder, "--executor", "local")
    assert done.exit_code == 0
    whole = invoke("train", "digits", *options, "--executor", "local", "--output", tmp_path / "w")
    assert checksum(done.output) == checksum(whole.output)
    assert record(folder) == record(tmp_path / "w")


# ------------------------------------------------------------------------------------- as a library


def test_the_library_evolves_and_resumes(images_yaml, tmp_path):
    config = load_config(images_yaml, generations=3)
    result = evolve(config, tmp_path / "run")
    assert (result.path, result.generation, result.finished) == (tmp_path / "run", 3, True)
    whole = evolve(load_config(images_yaml), tmp_path / "whole")
    assert resume(tmp_path / "run", generations=6).checksum == whole.checksum
    with pytest.raises(ConfigError, match="holds a run"):
        evolve(config, tmp_path / "run")
    with pytest.raises(ConfigError):
        resume(tmp_path / "run", generations=-1)


def test_several_parents_survive_and_resume(images_yaml, tmp_path):
    options = {"population__survivors": 2, "selection__name": "nsga2"}
    whole = evolve(load_config(images_yaml, **options), tmp_path / "whole")
    evolve(load_config(images_yaml, generations=3, **options), tmp_path / "run")
    assert resume(tmp_path / "run", generations=6).checksum == whole.checksum
    assert all(len(line["survivors"]) == 2 for line in record(tmp_path / "run"))


def test_random_selection_makes_no_more_children_than_it_keeps(images_yaml, tmp_path):
    evolve(load_config(images_yaml, selection__name="random"), tmp_path / "run")
    assert all(len(line["jobs"]) == 1 for line in record(tmp_path / "run"))
