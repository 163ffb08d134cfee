"""A run's copy in a store can be resumed at any moment, and a failing store stops nothing."""

import json
import shutil
import time
from pathlib import Path

import pytest

from runs import evolve, load_config, resume
from runs.common.errors import ConfigError
from runs.display.progress import Silent
from runs.mirror import copying
from runs.mirror.copying import Copier, identity
from runs.mirror.fetching import catch_up, fetch_run
from runs.mirror.marks import MARK, Mark
from runs.mirror.objects import Store
from runs.store.folder import RunFolder
from runs.store.lines import seal, unseal
from runs.store.replay import read_past
from tests.runs.copies import checksum, kinds, record

pytestmark = pytest.mark.usefixtures("without_pictures")


def silent(text: str) -> None:
    pass


@pytest.fixture
def uri(tmp_path) -> str:
    return f"file://{tmp_path}/store/runs/one"


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(copying, "BLOCK", 4096)


def mirrored(points_yaml, folder: Path, uri: str, generations: int = 17):
    config = load_config(
        points_yaml, generations=generations, checkpoint__mirror=uri, checkpoint__every=5
    )
    return evolve(config, folder)


def test_a_run_goes_on_from_its_mirror_in_an_empty_folder_to_the_same_bits(
    points_run, points_yaml, uri, invoke, small_blocks, tmp_path
):
    mirrored(points_yaml, tmp_path / "run", uri)
    there = tmp_path / "elsewhere"
    done = invoke("resume", uri, "--output", there, "--generations", "30")
    assert done.exit_code == 0, done.output
    assert checksum(done.output) == points_run[1]
    assert record(there) == record(points_run[0])
    # Everything is there once, named by the one mark; the journal's pieces are the journal.
    store = Store(uri)
    mark = store.newest()
    assert set(store.names()) == mark.names() and mark.generation == 30
    assert len(mark.journal) > 2
    assert (
        b"".join(store.read(p.name) for p in mark.journal) == (there / "journal.jsonl").read_bytes()
    )
    assert [s.name for s in mark.states if s.part == "snapshots"] == [
        f"generation-{n:08d}" for n in (30, 25, 20)
    ]
    assert mark.files["config.yaml"] == (there / "config.yaml").read_text()
    assert mark.run == json.loads((tmp_path / "run" / "mirror.json").read_text())["run"]


def test_one_command_goes_on_from_the_mirror_where_the_folder_is_gone(
    points_run, points_yaml, uri, invoke, tmp_path
):
    folder = tmp_path / "run"
    begin = (
        *("train", points_yaml, "--resume", "auto", "--output", folder),
        *("--set", f"checkpoint.mirror={uri}", "--set"),
    )
    assert invoke(*begin, "generations=12").exit_code == 0
    shutil.rmtree(folder)
    done = invoke(*begin, "generations=30")
    assert done.exit_code == 0 and "fetching the run of 12 generations" in done.output
    assert checksum(done.output) == points_run[1]
    assert record(folder) == record(points_run[0])


def test_a_folder_that_stayed_behind_takes_over_what_the_mirror_has(
    points_run, points_yaml, uri, invoke, tmp_path
):
    folder = tmp_path / "run"
    mirrored(points_yaml, folder, uri, 12)
    stale = Path(shutil.copytree(folder, tmp_path / "stale"))
    resume(folder, generations=25)
    done = invoke("resume", stale, "--generations", "30")
    assert "is at generation 12, its mirror at 25" in done.output
    assert "resumed at generation 25" in done.output
    assert checksum(done.output) == points_run[1]
    assert record(stale) == record(points_run[0])
    before = (folder / "journal.jsonl").read_bytes()
    catch_up(RunFolder(stale), uri, pytest.fail)  # as far as its mirror: nothing to say
    assert (folder / "journal.jsonl").read_bytes() == before


class Dying(BaseException):
    """The process was killed."""


class DyingStore(Store):
    """A store whose process dies in its n-th change, with a half-written object if it is a put."""

    left = 10**9

    def _change(self, tear) -> None:
        DyingStore.left -= 1
        if DyingStore.left < 0:
            tear()
            raise Dying

    def put(self, name, source):
        self._change(lambda: Store.put_bytes(self, name, source.read(100)))
        super().put(name, source)

    def put_bytes(self, name, content):
        self._change(lambda: Store.put_bytes(self, name, content[: len(content) // 2]))
        super().put_bytes(name, content)

    def remove(self, name):
        self._change(lambda: None)
        super().remove(name)


def copy_once(folder: Path, uri: str) -> None:
    run = identity(RunFolder(folder))
    Copier(RunFolder(folder), uri, run).copy()


def test_killed_in_any_change_of_the_store_its_newest_mark_is_a_run_to_resume(
    points_run, uri, small_blocks, monkeypatch, tmp_path
):
    early, late = tmp_path / "early", tmp_path / "late"
    for folder, keep, oldest in ((early, 13, 0), (late, 30, 20)):
        shutil.copytree(points_run[0], folder)
        lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
        (folder / "journal.jsonl").write_bytes(b"".join(lines[: keep + 1]) + b'{"half')
        for path in (folder / "snapshots").iterdir():
            if not oldest <= int(path.name[-8:]) <= keep:
                shutil.rmtree(path)
        (folder / "mirror.json").write_text('{"run": "one"}')
    monkeypatch.setattr(copying, "Store", DyingStore)
    seen = set()
    for step in range(100):
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        DyingStore.left = 10**9
        copy_once(early, uri)
        DyingStore.left = step
        died = False
        try:
            copy_once(late, uri)
        except Dying:
            died = True
        DyingStore.left = 10**9
        there = tmp_path / f"there-{step}"
        fetch_run(uri, RunFolder(there), silent)
        past = read_past(RunFolder(there))
        assert past.end in (13, 30) and not past.notes
        assert past.origin.exported.generation == (10 if past.end == 13 else 30)
        seen.add((past.end, died))
        copy_once(late, uri)  # and the next copy mends what was torn
        assert set(Store(uri).names()) == Store(uri).newest().names()
        for name, size in Store(uri).names().items():
            assert len(Store(uri).read(name)) == size
        if not died:
            break
    assert seen == {(13, True), (30, True), (30, False)}  # also killed while it removes


def test_a_store_that_fails_is_told_once_and_catches_up(points_yaml, uri, monkeypatch, tmp_path):
    monkeypatch.setattr(copying, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(copying, "LONGEST_PAUSE", 0.05)
    obstacle = tmp_path / "store"
    obstacle.write_text("a file where a folder must be")
    said: list[str] = []

    class Listener(Silent):
        def generation(self, entry, lineage):
            if entry.generation == 12:
                obstacle.unlink()
            deadline = time.monotonic() + 60
            while entry.generation == 13 and not any("has caught up" in text for text in said):
                assert time.monotonic() < deadline
                time.sleep(0.01)

        def message(self, text):
            said.append(text)

    folder = tmp_path / "run"
    config = load_config(points_yaml, checkpoint__mirror=uri, checkpoint__every=5)
    assert evolve(config, folder, Listener()).finished
    assert sum("warning: the mirror" in text for text in said) >= 1
    assert "mirror-failed" in kinds(folder) and kinds(folder)[-1] == "mirror-caught-up"
    assert Store(uri).newest().generation == 30


def test_a_mirror_that_never_answers_stops_no_run_and_is_filled_by_resume(
    points_run, points_yaml, uri, tmp_path
):
    (tmp_path / "store").write_text("a file where a folder must be")
    result = mirrored(points_yaml, tmp_path / "run", uri, 30)
    assert result.finished and result.checksum == points_run[1]
    (tmp_path / "store").unlink()
    resume(tmp_path / "run")
    assert Store(uri).newest().generation == 30


def test_a_folder_that_is_removed_takes_nothing_of_its_mirror_with_it(
    points_run, points_yaml, uri, invoke, tmp_path
):
    folder = tmp_path / "run"
    mirrored(points_yaml, folder, uri)
    copier = Copier(RunFolder(folder), uri, identity(RunFolder(folder)))
    copier.copy()
    before = Store(uri).names()
    shutil.rmtree(folder / "snapshots")
    with pytest.raises(ValueError, match="ahead of the folder"):
        copier.copy()
    shutil.rmtree(folder)
    with pytest.raises((OSError, ValueError)):
        copier.copy()
    assert Store(uri).names() == before
    with pytest.raises(OSError, match=r"config\.yaml"):  # nor where nothing was copied yet
        Copier(RunFolder(folder), uri + "-new", "another").copy()
    assert Store(uri + "-new").newest() is None


def test_damage_in_the_store_costs_time_and_no_bit(
    points_run, points_yaml, uri, small_blocks, invoke, tmp_path
):
    mirrored(points_yaml, tmp_path / "run", uri)
    store = Store(uri)
    mark = store.newest()
    first, second = mark.journal[:2]
    store.remove(first.name)
    store.put_bytes(second.name, b"x" * second.size)
    newest = next(state for state in mark.states if state.part == "snapshots")
    store.put_bytes(newest.object, store.read(newest.object)[:-1] + b"x")
    done = invoke("resume", uri, "--output", tmp_path / "there", "--generations", "30")
    assert done.exit_code == 0, done.output
    assert f"{first.name} is missing or damaged" in done.output
    assert f"passed over {newest.name}" in done.output
    assert checksum(done.output) == points_run[1]


# ----------------------------------------------------------------------------------------- mistakes


def test_another_runs_mirror_is_refused_and_untouched(points_yaml, uri, mistake, tmp_path):
    mirrored(points_yaml, tmp_path / "run", uri, 3)
    before = Store(uri).names()
    other = ("train", points_yaml, "--output", tmp_path / "other")
    setting = ("--set", f"checkpoint.mirror={uri}")
    message = mistake(*other, *setting)
    assert "holds another run" in message and f"resume {uri}" in message
    assert not (tmp_path / "other").exists()
    assert Store(uri).names() == before
    assert "seed: 3 there, 5 here" in mistake(*other, *setting, "--resume", "auto", "--seed", 5)
    assert "holds a run already" in mistake("resume", uri, "--output", tmp_path / "run")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("outputs/copy", "checkpoint.mirror"),
        ("s3x://bucket/prefix", "s3://bucket/prefix"),
        ("s3://key:secret@bucket/prefix", "secret"),
        ("s3://bucket/prefix?secret_key=abc", "secret"),
    ],
)
def test_a_place_that_cannot_be_is_a_mistake(value, said, points_yaml, mistake, tmp_path):
    folder = tmp_path / "run"
    message = mistake(
        "train", points_yaml, "--set", f"checkpoint.mirror={value}", "--output", folder
    )
    assert said in message and not folder.exists()


def test_where_no_run_is_mirrored_none_is_fetched(uri, mistake, tmp_path):
    assert "no run is mirrored" in mistake("resume", uri, "--output", tmp_path / "there")
    assert not (tmp_path / "there").exists()
    assert "--output" in mistake("resume", tmp_path, "--output", tmp_path / "there")


@pytest.mark.parametrize(
    "change",
    [
        lambda mark: {"files": {"../evil.yaml": "x"}},
        lambda mark: {"states": [{**mark["states"][0], "name": "../../evil"}]},
        lambda mark: {"states": [{**mark["states"][0], "part": ".."}]},
        lambda mark: {"states": [{**mark["states"][0], "object": "../evil"}]},
        lambda mark: {"journal": [{"name": "../../x", "size": 1, "crc": 1}]},
        lambda mark: {"files": {}},
        lambda mark: {"format": 99},
        lambda mark: {"generation": "20"},
        lambda mark: {"number": -1},
        lambda mark: {"files": {"config.yaml": {}}},
        lambda mark: {"run": 7},
        lambda mark: {"journal": [{**mark["journal"][0], "crc": None}]},
        lambda mark: {"more": 1},
    ],
)
def test_a_mark_that_names_what_it_must_not_is_refused(change, points_run, uri, tmp_path):
    (tmp_path / "run").mkdir()
    folder = Path(shutil.copytree(points_run[0], tmp_path / "copy"))
    copy_once(folder, uri)
    store = Store(uri)
    name = next(filter(MARK.match, store.names()))
    value = unseal(store.read(name))
    store.put_bytes(name, seal(value | change(value)).encode())
    with pytest.raises(ConfigError, match="cannot be read"):
        fetch_run(uri, RunFolder(tmp_path / "there"), silent)
    store.put_bytes(name, seal(value).encode())
    assert isinstance(store.newest(), Mark)
