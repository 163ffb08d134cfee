"""Damaged input to every reader gives a value or that reader's one error; see `campaign.py`.

FUZZ_EXAMPLES sets how many inputs each reader gets.
"""

import os
import pickle
import random
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import campaign
from tests.fuzz.campaign import try_one
from tests.fuzz.damage import Planted
from tests.fuzz.readers import READERS, Reader
from tests.fuzz.sound import PIXELS, made

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "10"))
GREY = PIXELS[:, None]  # (3, 1, 8, 8)


def shows(expected: np.ndarray):
    return lambda source: np.array_equal(source.images, expected)


def is_the_picture(source) -> bool:
    """Tell the first image again, of another size and not without loss: by its mean."""
    return len(source.images) == 1 and abs(source.images.mean() - PIXELS[0].mean()) < 8


# What each reader makes of its sound input, so that damage reaches a reader that works. Inception's
# published file is missing: it has 95 MB.
SOUND = {
    "config": lambda config: config.name == "digits",
    "override": lambda config: config.seed == 5,
    "study": lambda study: study.config.base == "gaussians25",
    "journal": lambda run: run["generation"] == 6 and run["damaged_journal_lines"] == 0,
    "snapshot": lambda samples: samples.shape == (2, 2),
    "data.json": lambda opened: opened[0](1, 0).shape == (1, 2),
    "config.yaml": lambda opened: opened[0](1, 0).shape == (1, 2),
    "tracking.json": lambda record: record._state.logged == 3,
    "outcome.json": lambda outcome: outcome == {"status": "finished", "error": None},
    "evaluations": lambda records: records[0]["values"] == {"fid-pixels-9": 1.5},
    "generator": lambda sampler: sampler(3, 0).shape == (3, 2),
    "generator weights": lambda sampler: sampler(3, 0).shape == (3, 2),
    "idx": shows(GREY),
    "idx.gz": shows(GREY),
    "cifar": shows(np.zeros((2, 3, 32, 32), np.uint8)),
    "npy": shows(GREY),
    "npz": lambda source: shows(GREY)(source) and source.labels.tolist() == [0, 1, 2],
    "image zip": lambda source: source.labels.tolist() == [1, 0],
    "tags": lambda source: source.tags.tolist() == [[1, 0.5], [0, -1]],
    "bmp": is_the_picture,
    "tiff": is_the_picture,
    "png": is_the_picture,
    "jpeg": is_the_picture,
    "webp": is_the_picture,
    "packed manifest": shows(GREY),
    "packed images": shows(GREY),
    "statistics": lambda statistics: np.array_equal(statistics.covariance, np.eye(4)),
    "classifier": lambda space: space.accuracy == 0.5,
    "stylegan": lambda weights: len(weights.params) > 10,
    "stylegan safetensors": lambda weights: len(weights.params) > 10,
}


@pytest.fixture(scope="module", autouse=True)
def sound(tmp_path_factory):
    """The sound files are made once; what is planted would leave its trace in a folder of its own.

    The folder of a test's own fixtures is another, so hypothesis sees the same state every time.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("planted"))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield made()
    shutil.rmtree(made())


@pytest.mark.parametrize("name", READERS)
@given(rng=st.randoms(use_true_random=False))
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
def test_a_reader_reads_or_refuses(name, rng, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    _, failure = try_one(READERS[name], rng, folder)
    assert failure is None


def test_every_reader_has_a_sound_input():
    assert SOUND.keys() == READERS.keys() - {"inception"}


@pytest.mark.parametrize("name", SOUND)
def test_sound_input_is_read(name, tmp_path):
    reader = READERS[name]
    assert SOUND[name](reader.read(reader.write(None, tmp_path)))


@pytest.mark.process
def test_what_is_forbidden_is_seen(tmp_path, monkeypatch):
    """The net itself: a wrong error, a hang, a process and a planted command are all caught."""
    monkeypatch.setattr(campaign, "LIMIT", 1)
    monkeypatch.chdir(tmp_path)

    def outcome(read):
        reader = Reader(lambda rng, folder: folder, read, (ValueError,))
        return try_one(reader, random.Random(0), tmp_path / "input")

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
    stolen = pickle.dumps(Planted())
    assert "planted" in outcome(lambda path: pickle.loads(stolen))[1]
