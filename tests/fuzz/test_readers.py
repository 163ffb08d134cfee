"""Damaged input to every reader gives a value or that reader's one error; see benchmarks/fuzz.py.

FUZZ_EXAMPLES sets how many inputs each reader gets.
"""

import importlib.util
import os
import pickle
import random
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "10"))
SPEC = importlib.util.spec_from_file_location("fuzz", ROOT / "benchmarks" / "fuzz.py")
fuzz = importlib.util.module_from_spec(SPEC)
sys.modules["fuzz"] = fuzz
SPEC.loader.exec_module(fuzz)


@pytest.fixture(scope="module", autouse=True)
def sound(tmp_path_factory):
    """The sound files are made once; what is planted would leave its trace in a folder of its own.

    The folder of a test's own fixtures is another, so hypothesis sees the same state every time.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("planted"))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield fuzz.made()
    shutil.rmtree(fuzz.made())


@pytest.mark.parametrize("name", fuzz.READERS)
@given(rng=st.randoms(use_true_random=False))
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
def test_a_reader_reads_or_refuses(name, rng, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    _, failure = fuzz.try_one(fuzz.READERS[name], rng, folder)
    assert failure is None


@pytest.mark.parametrize("name", [name for name in fuzz.READERS if name != "inception"])
def test_sound_input_is_read(name, tmp_path):
    """So the damage reaches a reader that works (Inception's published file is 95 MB)."""
    reader = fuzz.READERS[name]
    reader.read(reader.write(None, tmp_path))


def test_what_is_forbidden_is_seen(tmp_path, monkeypatch):
    """The net itself: a wrong error, a hang, a process and a planted command are all caught."""
    monkeypatch.setattr(fuzz, "LIMIT", 1)
    monkeypatch.chdir(tmp_path)

    def outcome(read):
        reader = fuzz.Reader(lambda rng, folder: folder, read, (ValueError,))
        return fuzz.try_one(reader, random.Random(0), tmp_path / "input")

    def refuse(path):
        raise ValueError("no")

    def fail(path):
        raise KeyError("x")

    def hang(path):
        while True:
            pass

    assert outcome(lambda path: None) == (True, None)
    assert outcome(refuse) == (False, None)
    assert "KeyError" in outcome(fail)[1]
    assert "not done in 1 s" in outcome(hang)[1]
    assert "os.system" in outcome(lambda path: os.system("true"))[1]
    stolen = pickle.dumps(fuzz.Planted())
    assert "planted" in outcome(lambda path: pickle.loads(stolen))[1]
