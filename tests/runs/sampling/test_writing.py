"""Samples in files: written a part at a time, and refused before they are made."""

from dataclasses import replace

import numpy as np
import pytest

from runs.common.errors import ConfigError
from runs.sampling.opening import open_sampler
from runs.sampling.sampler import BATCH, Sampler
from runs.sampling.writing import Streamed, grid_count, write_arrays, write_samples


@pytest.fixture
def unmade(monkeypatch):
    def made(*arguments):
        raise AssertionError("a sample was made")

    monkeypatch.setattr(Sampler, "make", made)


@pytest.mark.parametrize("name", ["dcgan", "mlp"])
def test_an_array_of_many_parts_is_the_whole(plain, tmp_path, name):
    sampler = open_sampler(plain[name])[0]
    count, told = 2 * BATCH + 7, []
    write_samples(sampler, count, 3, tmp_path / "a.npz", progress=lambda *how: told.append(how))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        (key,) = archive.files
        assert key == ("points" if name == "mlp" else "images")
        assert np.array_equal(archive[key], sampler(count, 3))
        assert archive[key].dtype == sampler(1, 3).dtype
    assert told == [("samples", done, count) for done in (BATCH, 2 * BATCH, count)]


def test_only_one_part_is_held_at_a_time(tmp_path):
    alive = []

    class Part(np.ndarray):
        def __del__(self):
            alive.remove(id(self))

    def parts():
        for number in range(5):
            part = np.full((10, 3), number, np.float32).view(Part)
            alive.append(id(part))
            assert len(alive) <= 2, "the one before is let go of when the next one is there"
            yield part

    write_arrays(tmp_path / "a.npz", Streamed("x", parts(), (50, 3), np.dtype(np.float32)))
    with np.load(tmp_path / "a.npz") as archive:
        assert np.array_equal(archive["x"], np.repeat(np.arange(5), 10)[:, None] * np.ones(3))


@pytest.mark.parametrize(("side", "count"), [(8, 100), (64, 100), (128, 64), (256, 16), (1024, 16)])
def test_a_run_draws_fewer_images_where_they_are_large(plain, side, count):
    sampler = open_sampler(plain["dcgan"])[0]
    assert grid_count(replace(sampler, shape=(1, side, side))) == count


def test_a_run_draws_many_points(plain):
    assert grid_count(open_sampler(plain["mlp"])[0]) == 1000


@pytest.mark.usefixtures("unmade")
def test_what_the_disk_has_no_room_for_is_refused_with_its_size(plain, refusal, tmp_path):
    out = tmp_path / "new" / "a.npz"
    message = refusal("sample", plain["dcgan"], "--count", 10**12, "--out", out)
    assert "these samples take up to 64,000.0 GB, and the disk has" in " ".join(message.split())
    assert not out.parent.exists()


@pytest.mark.usefixtures("unmade")
def test_a_picture_of_too_many_is_refused_with_its_size(plain, grown, refusal, tmp_path):
    out = tmp_path / "a.png"
    message = refusal("sample", plain["dcgan"], "--count", 10**8, "--out", out)
    assert "100,000,000 images of 8 x 8 make a picture of 6,400 million pixels" in message
    assert "or take --out FILE.npz" in message
    message = refusal("sample", plain["mlp"], "--count", 10**8, "--out", out)
    assert "100,000,000 points are too many for a picture; at most 1,000,000" in message
    for command in (
        ("interpolate", grown, "--frames", 10**7),
        ("mix", grown, "--columns", 200, "--rows", 10**6),
        ("noise", grown, "--columns", 10**7),
    ):
        message = refusal(*command, "--out", out)
        assert "million pixels; at most" in message and "npz" not in message


def test_a_failure_in_the_middle_leaves_no_file(plain, monkeypatch, tmp_path):
    sampler = open_sampler(plain["dcgan"])[0]
    make, made = Sampler.make, []

    def failing(self, inputs, conditions):
        made.append(1)
        if len(made) == 2:
            raise OSError("disk full")
        return make(self, inputs)

    monkeypatch.setattr(Sampler, "make", failing)
    with pytest.raises(OSError, match="disk full"):
        write_samples(sampler, 1000, 0, tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_suffix_of_another_kind_is_no_array(plain, tmp_path):
    with pytest.raises(ConfigError, match="too many for a picture"):
        write_samples(open_sampler(plain["mlp"])[0], 10**7, 0, tmp_path / "a.PNG")
