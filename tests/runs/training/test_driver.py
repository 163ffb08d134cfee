"""Runs from end to end: what lies in their folder and journal, and what is refused."""

from dataclasses import replace

import pytest
import yaml
from PIL import Image

from populations.executors.local import LocalExecutor
from runs import evolve, load_config, resume
from runs.common.errors import ConfigError
from runs.display.inspection import inspect_run
from runs.display.progress import Silent
from runs.store.snapshots import STATE, snapshots, verify
from tests.runs.copies import checksum, events, kinds, record

pytestmark = pytest.mark.usefixtures("without_pictures")

# -------------------------------------------------------------------------------------- the folder


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


# ---------------------------------------------------------------- what goes wrong and costs little


def test_a_full_disk_costs_the_snapshots_and_not_the_run(
    points_run, points_yaml, tmp_path, monkeypatch, invoke
):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("runs.training.saving.write_snapshot", full)
        ended = invoke("train", points_yaml, "--output", tmp_path / "run")
    assert ended.exit_code == 1 and checksum(ended.output) == points_run[1]
    assert ended.output.count("No space left") == 3
    # That of the last snapshot, too, which no generation's line took.
    assert kinds(tmp_path / "run").count("snapshot-failed") == 3
    assert inspect_run(tmp_path / "run")["faults"] == {"snapshot-failed": 3}
    assert "the state at generation 30 is not on the disk" in ended.output
    again = invoke("resume", tmp_path / "run")
    assert again.exit_code == 0 and checksum(again.output) == points_run[1]
    assert snapshots(tmp_path / "run" / "snapshots")[0].generation == 30


def test_a_picture_that_cannot_be_written_costs_no_snapshot(points_yaml, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("runs.training.saving.write_picture", full)
    result = evolve(load_config(points_yaml), tmp_path / "run")
    assert result.finished and result.saved
    assert kinds(tmp_path / "run").count("picture-failed") == 3
    assert {snapshot.generation for snapshot in snapshots(tmp_path / "run" / "snapshots")} >= {30}


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


# ------------------------------------------------------------------------------ what is not finite


def test_a_mutation_that_gives_nan_loses_its_child_and_not_the_run(
    own_modules, invoke, points_yaml, tmp_path, monkeypatch
):
    import failing  # the user's module, importable here

    monkeypatch.setattr(failing, "calls", 0)
    folder = tmp_path / "run"
    done = invoke(
        *("train", points_yaml, "--output", folder),
        *("--set", "population.mutations=[heuristic, 'failing:later']"),
    )
    assert done.exit_code == 0, done.output
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


# ---------------------------------------------------------------------------- what is said of it


class Listener(Silent):
    """Hears the lines that stay."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


DRAWING = "drawing the last picture of samples, and the plots ..."


def test_the_last_pictures_are_announced_where_they_are_drawn(points_yaml, monkeypatch, tmp_path):
    listener = Listener()
    config = load_config(points_yaml, ["checkpoint.every=100"], generations=5)

    def drawn(name):
        return lambda *_: listener.lines.append(name)

    monkeypatch.setattr("runs.training.saving.write_picture", drawn("picture"))
    monkeypatch.setattr("runs.display.plots.draw_plots", drawn("plots"))
    evolve(config, tmp_path / "run", listener)
    assert listener.lines[-3:] == [DRAWING, "picture", "plots"]
    listener.lines.clear()
    resume(tmp_path / "run", 6, listener, pictures=False)
    assert not {DRAWING, "picture", "plots"} & {*listener.lines}


# --------------------------------------------------------------------------------------------- Ray


@pytest.mark.timeout(280)
def test_two_ray_workers_give_the_bits_of_one_process(run, invoke, tmp_path):
    options = (
        *("train", "digits", "--set", "generations=6", "--set", "backbone.width=8"),
        *("--set", "tracking.enabled=false"),
    )
    local = invoke(*options, "--executor", "local", "--output", tmp_path / "local")
    ray = run(*options, "--executor", "ray", "--workers", "2", "--output", tmp_path / "ray")
    assert local.exit_code == 0, local.output
    assert ray.returncode == 0, ray.stderr
    assert "2 Ray worker(s)" in ray.stdout
    assert checksum(ray.stdout) == checksum(local.output)
    assert record(tmp_path / "ray") == record(tmp_path / "local")
    assert ray.stderr == ""


# ------------------------------------------------------------------------------------ as a library


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
