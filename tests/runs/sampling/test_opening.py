"""Which generator of a run is sampled: by snapshot, by survivor, averaged or not."""

from pathlib import Path

import numpy as np
import pytest

from runs.common.errors import ConfigError
from runs.sampling.generators import save_generator
from runs.sampling.opening import Choice, chosen_snapshot, open_sampler, sample
from runs.sampling.states import survivors_of
from runs.store.folder import RunFolder
from runs.store.snapshots import STATE, read_snapshot, snapshots
from runs.training.driver import evolve

POINTS = """\
generations: 9
data: {source: gaussians}
backbone: {name: mlp, width: 8, depth: 1}
population: {batch: 8, survivors: 2, average: 0.9}
fitness: {batch: 8}
optimizer: {learning_rate: 0.01}
execution: {executor: local}
checkpoint: {every: 3}
tracking: {enabled: false}
"""


@pytest.fixture
def run(config_of, without_pictures, tmp_path) -> Path:
    return evolve(config_of(POINTS), tmp_path / "run").path


def samples(run, *choice) -> np.ndarray:
    return open_sampler(run, Choice(*choice))[0](50, 1)


def test_a_snapshot_is_chosen_by_its_generation(run):
    assert [s.generation for s in snapshots(run / "snapshots")] == [9, 6, 3]
    assert np.array_equal(samples(run, 9), samples(run, "newest"))
    assert not np.array_equal(samples(run, 6), samples(run, 9))
    assert np.array_equal(sample(run, 50, 1, which=6), samples(run, 6))
    assert open_sampler(run, Choice(6))[1] == "snapshot of generation 6"


def test_a_snapshot_that_is_not_there_is_answered_with_those_that_are(run):
    with pytest.raises(ConfigError, match=r"no snapshot of generation 5\. There are: 3, 6, 9 \("):
        open_sampler(run, Choice(5))


def test_a_damaged_snapshot_is_not_replaced_by_another(run):
    (run / "snapshots" / "generation-00000006" / STATE).write_bytes(b"")
    with pytest.raises(
        ConfigError, match=r"snapshot of generation 6: state\.safetensors is damaged"
    ):
        open_sampler(run, Choice(6))


def test_raw_survivors_are_sampled_by_their_own_weights(run):
    folder = RunFolder(run)
    exported, _ = chosen_snapshot(folder)
    of_all = survivors_of(folder.load_config(), folder.load_data(), exported)
    assert len(of_all) == 2
    for index, sampler in enumerate(of_all):
        found, name = open_sampler(run, Choice(survivor=index, raw=True))
        assert np.array_equal(found(50, 1), sampler(50, 1))
        assert name == f"survivor {index}, not averaged, of the newest snapshot, generation 9"
    parts = [samples(run, "best", index, raw) for index in (0, 1) for raw in (False, True)]
    assert len({part.tobytes() for part in parts}) == 4


def test_a_survivor_that_is_not_there_is_refused(run):
    with pytest.raises(
        ConfigError, match=r"survivor 2: the run keeps 2 survivor\(s\), counted from"
    ):
        open_sampler(run, Choice(survivor=2))


def test_a_generators_folder_has_no_choice(run, tmp_path):
    folder = RunFolder(run)
    exported = read_snapshot(snapshots(folder.snapshots)[0])[0]
    save_generator(tmp_path / "g", folder.load_config(), folder.load_data(), exported)
    assert np.array_equal(samples(tmp_path / "g"), samples(run))
    for choice in (Choice(6), Choice(survivor=1), Choice(raw=True)):
        with pytest.raises(ConfigError, match="holds a generator alone: it has no snapshots"):
            open_sampler(tmp_path / "g", choice)


def test_the_command_takes_the_choice(run, invoke, refusal, tmp_path):
    out = tmp_path / "a.npz"
    arguments = ("--count", 50, "--seed", 1, "--out", out)
    done = invoke("sample", run, "--snapshot", 6, "--survivor", 1, "--raw", *arguments)
    assert "survivor 1, not averaged, of the snapshot of generation 6" in done.output
    with np.load(out) as archive:
        assert np.array_equal(archive["points"], samples(run, 6, 1, True))
    for wrong in ("latest", "-1", "1.5"):
        message = refusal("sample", run, "--snapshot", wrong, *arguments)
        assert "give best, newest, or a generation such as 500" in message
