"""What lies in a run's folder is the run's own, or is refused, or passed over."""

import shutil

import pytest

from runs import evolve, load_config, resume
from runs.common.errors import ConfigError
from runs.store.folder import RunFolder
from runs.store.identity import changed, digests
from runs.store.snapshots import snapshots
from tests.runs.copies import interrupted, no_pictures, without_id


@pytest.fixture(scope="module")
def runs(points_yaml, tmp_path_factory):
    """Two runs that differ in nothing but the seed, and their checksums."""
    folder = tmp_path_factory.mktemp("runs")
    with no_pictures():
        ends = [
            evolve(load_config(points_yaml, seed=seed), folder / str(seed)).checksum
            for seed in (1, 2)
        ]
    assert ends[0] != ends[1]
    return folder / "1", folder / "2", ends[0]


class Said:
    def __init__(self):
        self.lines = []

    def message(self, text):
        self.lines.append(text)

    def __getattr__(self, name):
        return lambda *_, **__: None


def exchanged(run, other, tmp_path, with_id=True):
    """Return a copy of a run, stopped at generation 20, with the snapshots of another run."""
    copy = interrupted(run, tmp_path, 26)
    for snapshot in snapshots(copy / "snapshots"):
        shutil.rmtree(snapshot.path)
    for snapshot in snapshots(other / "snapshots"):
        if snapshot.generation > 20:
            continue
        to = shutil.copytree(snapshot.path, copy / "snapshots" / snapshot.path.name)
        if not with_id:
            without_id(to)
    return copy


@pytest.mark.parametrize(
    ("with_id", "reason"),
    [
        (True, "passed over generation-00000020: it is of another run"),
        (False, "passed over generation-00000020: its checksum is not the journal's of that"),
    ],
)
def test_a_snapshot_of_another_run_is_passed_over(
    with_id, reason, runs, without_pictures, tmp_path
):
    run, other, end = runs
    said = Said()
    result = resume(exchanged(run, other, tmp_path, with_id), progress=said)
    assert result.checksum == end
    assert any(line.startswith(reason) for line in said.lines), said.lines


def test_a_journal_of_another_run_is_refused(runs, tmp_path):
    run, other, _ = runs
    copy = interrupted(run, tmp_path, 20)
    shutil.copy(other / "journal.jsonl", copy / "journal.jsonl")
    with pytest.raises(ConfigError, match=r"journal.jsonl is of another run .* put the run's own"):
        resume(copy)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("seed: 1\n", "seed: 7\n", "seed"),
        ("learning_rate: 0.0002", "learning_rate: 0.001", "optimizer"),
        ("width: 8", "width: 9", "backbone"),
        ("space: classifier", "space: pixels", "evaluation"),
    ],
)
def test_a_config_that_decides_another_result_is_refused(old, new, key, runs, tmp_path):
    copy = interrupted(runs[0], tmp_path, 20)
    text = (copy / "config.yaml").read_text()
    assert old in text
    (copy / "config.yaml").write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=rf"decides its result: {key}. .* train --from "):
        resume(copy)
    assert RunFolder.open(copy).load_config()  # it can still be read


def test_what_decides_nothing_may_change(runs, without_pictures, tmp_path):
    run, _, end = runs
    copy = interrupted(run, tmp_path, 20)
    text = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(
        text.replace("keep: 3", "keep: 2").replace("name: p", "name: q")
    )
    assert resume(copy).checksum == end


def test_digests_are_of_what_was_given():
    config = load_config("digits")
    folder = load_config("digits", checkpoint__every=7, execution__threads=2, generations=9)
    assert digests(config) == digests(folder)
    other = load_config("digits", fitness__gamma=0.5, execution__precision="bfloat16")
    same = digests(config).items() & digests(other).items()
    assert digests(other).keys() - dict(same).keys() == {"fitness", "execution.precision"}
    paths = [load_config("fashion-mnist", data__path=path) for path in ("/a", "/b")]
    assert digests(paths[0]) == digests(paths[1])


def test_a_run_says_what_decides_it(runs):
    folder = RunFolder.open(runs[0])
    identity = folder.load_identity()
    assert identity.decides == digests(folder.load_config())
    assert changed(identity, folder.load_config()) == []
