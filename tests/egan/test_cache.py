"""The cache: where it lies, what is kept in it, and runs without one."""

import os
from pathlib import Path

import pytest

import egan.cache
from egan.cache import cache_folder, keep, recall


@pytest.fixture(autouse=True)
def _told_anew():
    egan.cache._warn.cache_clear()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "evolutionary-gan"


def test_it_lies_where_the_user_says_else_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "evolutionary-gan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "evolutionary-gan"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == tmp_path / ".cache" / "evolutionary-gan"


def test_what_is_kept_is_recalled(cache):
    assert recall("folder/a.txt", Path.read_text) is None
    keep("folder/a.txt", lambda path: path.write_text("kept"))
    assert recall("folder/a.txt", Path.read_text) == "kept"
    assert [path.name for path in (cache / "folder").iterdir()] == ["a.txt"]


def test_a_file_is_kept_whole_or_not_at_all(cache, caplog):
    keep("a.txt", lambda path: path.write_text("old"))

    def fail(path):
        path.write_text("half of the ne")
        raise OSError("disk full")

    keep("a.txt", fail)
    assert recall("a.txt", Path.read_text) == "old"
    assert [path.name for path in cache.iterdir()] == ["a.txt"]
    assert "disk full" in caplog.text


def test_a_cached_file_is_for_everyone_whom_the_umask_allows(cache):
    before = os.umask(0o022)
    try:
        keep("a.txt", lambda path: path.write_text("kept"))
    finally:
        os.umask(before)
    assert (cache / "a.txt").stat().st_mode & 0o777 == 0o644


def test_a_damaged_file_is_told_of_once_and_not_used(cache, caplog):
    def refuse(path):
        raise ValueError("cut")

    keep("a.txt", lambda path: path.write_text("damaged"))
    for _ in range(2):
        assert recall("a.txt", refuse) is None
    assert caplog.text.count("a.txt cannot be used (cut); its content is made again") == 1


@pytest.mark.parametrize("cache_home", ["/proc/nowhere", "/dev/null"])
def test_where_the_cache_cannot_be_written_it_is_told_once_what_to_set(
    monkeypatch, caplog, cache_home
):
    monkeypatch.setenv("XDG_CACHE_HOME", cache_home)
    for _ in range(2):
        assert recall("a.txt", Path.read_text) is None
        keep("a.txt", lambda path: path.write_text("kept"))
    (record,) = caplog.records
    assert f"the cache {cache_home}/evolutionary-gan cannot be written" in record.getMessage()
    assert "set XDG_CACHE_HOME to a writable folder" in record.getMessage()


def test_a_user_without_a_home_has_no_cache(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as where no home is known
    monkeypatch.chdir(tmp_path)
    assert cache_folder() is None
    assert recall("a.txt", Path.read_text) is None
    keep("a.txt", lambda path: path.write_text("kept"))
    assert list(tmp_path.iterdir()) == []
    assert "no home folder" in caplog.text and "set XDG_CACHE_HOME" in caplog.text
