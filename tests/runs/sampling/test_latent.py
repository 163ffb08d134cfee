"""Style mixing, walks and noise against what they must mean."""

import stat
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from egan.backbones.stylegan.latents import Latents
from runs.sampling.latent import interpolation, mixing_grid, noise_variation, style_ranges, walk
from runs.sampling.opening import open_sampler, sample
from runs.sampling.repair import layers_of, repaired
from runs.sampling.units import UnitsFile


@pytest.fixture(scope="module")
def sampler(grown):
    return open_sampler(grown)[0]


# ------------------------------------------------------------------------------------ style mixing


def test_at_1024_pixels_the_ranges_are_the_papers():
    assert style_ranges(1024) == {
        "coarse": range(0, 4),
        "middle": range(4, 8),
        "fine": range(8, 18),
    }


@given(st.integers(2, 10))
def test_the_ranges_are_every_layer_once(power):
    parts = list(style_ranges(2**power).values())
    assert [layer for part in parts for layer in part] == list(range(2 * (power - 1)))


def test_a_cell_has_the_styles_of_its_source_in_one_range_alone(sampler):
    columns, rows = 3, 2
    cells = mixing_grid(sampler, 4, columns, rows)
    assert cells.shape == (4 * (1 + 3 * rows), 16, 16, 1)
    lines = cells.reshape(1 + 3 * rows, columns + 1, 16, 16, 1)
    assert (lines[0, 0] == 128).all()
    for block in range(3):  # the images on the left are the same in all three
        assert np.array_equal(lines[1 + rows * block : 1 + rows * (block + 1), 0], lines[1:3, 0])
    # All styles of a source at once are the source itself, whatever the image on the left is.
    latents = sampler.inputs(columns + rows, 4)
    same_noise = Latents(latents.z, latents.seeds[:1].expand(len(latents)))
    alone = sampler.make(same_noise).permute(0, 2, 3, 1).numpy().astype(int)
    left = np.concatenate([lines[0, 1:], lines[1 : 1 + rows, 0]])
    assert np.abs(left - alone).max() <= 1
    assert not np.array_equal(lines[1, 1], lines[1, 0])


def test_the_figure_is_a_function_of_the_seed(sampler):
    assert np.array_equal(mixing_grid(sampler, 1, 2, 1), mixing_grid(sampler, 1, 2, 1))
    assert not np.array_equal(mixing_grid(sampler, 1, 2, 1), mixing_grid(sampler, 2, 2, 1))


def test_units_that_are_off_are_off_in_styles_too(sampler):
    last = list(layers_of(sampler))[-1]
    everything = list(range(layers_of(sampler)[last][0]))
    units = UnitsFile(layer=last, units=everything, shares=[1.0] * len(everything))
    images = mixing_grid(repaired(sampler, units), 4, 2, 1).reshape(4, 3, 16, 16, 1)
    assert (images[1:] == images[1, 0, 0, 0]).all() and images[1, 0, 0, 0] != 128
    assert len(np.unique(mixing_grid(sampler, 4, 2, 1))) > 9  # the given sampler stays as it was


# ----------------------------------------------------------------------------------- interpolation


def test_a_walk_comes_by_every_point_and_closes():
    points = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    for route in ("linear", "spherical"):
        path = walk(points, 5, route)
        assert path.shape == (15, 4)
        assert torch.allclose(path[::5], points, atol=1e-6)
    middle = walk(points, 2, "linear")[5]
    assert torch.allclose(middle, (points[2] + points[0]) / 2)
    turned = walk(torch.tensor([[2.0, 0.0], [0.0, 4.0]]), 2, "spherical")[1]
    assert torch.allclose(turned, torch.tensor([3.0, 3.0]) / 2**0.5)


@pytest.mark.parametrize(("space", "route"), [("z", "linear"), ("z", "spherical"), ("w", "linear")])
def test_a_walk_begins_with_the_first_sample(sampler, grown, space, route):
    images = interpolation(sampler, 3, 3, 4, space, route)
    assert images.shape == (12, 16, 16, 1)
    assert np.abs(images[0].astype(int) - sample(grown, 1, seed=3)[0]).max() <= 1
    assert np.array_equal(images, interpolation(sampler, 3, 3, 4, space, route))


def test_a_walk_in_z_is_for_every_generator_of_images(plain, invoke, refusal, tmp_path):
    out = tmp_path / "walk.png"
    assert invoke("interpolate", plain["dcgan"], "--out", out, "--points", 2).exit_code == 0
    assert out.stat().st_size
    assert "needs a generator with styles" in refusal(
        "interpolate", plain["dcgan"], "--out", out, "--space", "w"
    )
    assert "samples are points" in refusal("interpolate", plain["mlp"], "--out", out)


def test_a_spherical_walk_in_w_is_refused(grown, refusal, tmp_path):
    arguments = ("--out", tmp_path / "w.gif", "--space", "w", "--path", "spherical")
    assert "a spherical path is in z" in refusal("interpolate", grown, *arguments)


def test_long_tools_say_how_far_they_are(sampler):
    told: list[tuple[str, int, int]] = []

    def tell(*how):
        told.append(how)

    interpolation(sampler, 0, 70, 4, progress=tell)
    assert told == [("images", 256, 280), ("images", 280, 280)]
    mixing_grid(sampler, 0, 2, 1, progress=tell)
    noise_variation(sampler, 0, 2, 1, realisations=2, progress=tell)
    assert told[2:] == [("images", 2 + 3 * 3, 11), ("rows", 0, 2), ("rows", 1, 2)]


def test_a_gif_loops_through_the_frames(grown, invoke, tmp_path):
    out = tmp_path / "walk.gif"
    result = invoke("interpolate", grown, "--out", out, "--points", 2, "--frames", 5)
    assert result.exit_code == 0
    with Image.open(out) as picture:
        assert picture.n_frames == 10 and picture.info["loop"] == 0
        assert picture.size == (256, 256)


def test_an_mp4_needs_ffmpeg(grown, refusal, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "needs the program ffmpeg" in refusal("interpolate", grown, "--out", tmp_path / "a.mp4")
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.process
def test_an_mp4s_frames_go_to_ffmpeg_as_raw_video(grown, invoke, refusal, monkeypatch, tmp_path):
    """A program that only notes what it is given stands in for the real one."""
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "size = sys.argv[sys.argv.index('-s') + 1]\n"
        "content = sys.stdin.buffer.read()\n"
        "open(sys.argv[-1], 'w').write(f'{size} {len(content)}')\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(program.parent))
    out = tmp_path / "walk.mp4"
    assert invoke("interpolate", grown, "--out", out, "--points", 2).exit_code == 0
    assert out.read_text() == f"256x256 {2 * 8 * 256 * 256}"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('no such codec')\n")
    assert "no such codec" in refusal("interpolate", grown, "--out", tmp_path / "other.mp4")


# ------------------------------------------------------------------------------------------- noise


def test_the_deviation_map_is_that_of_many_noises(sampler):
    found = noise_variation(sampler, 2, rows=2, columns=3, realisations=40)
    assert found.columns == 4 and found.cells.shape == (8, 16, 16, 1)
    latents = sampler.inputs(2, 2)
    seeds = torch.randint(2**62, (40,), generator=torch.Generator().manual_seed(2))
    images = sampler.make(Latents(latents.z[1:2].expand(40, -1), seeds))
    deviation = images.double().std(0, correction=0).mean(0)
    shown = torch.from_numpy(found.cells[7, :, :, 0]).double() / 255 * found.largest
    assert (shown - deviation).abs().max() < 1
    assert np.array_equal(found.cells[4:7], images[:3].permute(0, 2, 3, 1).numpy())
    assert found.cells[[3, 7]].max() == 255


def test_the_figure_is_the_same_made_one_image_at_a_time(sampler, monkeypatch):
    whole = noise_variation(sampler, 2, rows=1, columns=3, realisations=10)
    monkeypatch.setattr("runs.sampling.styled.PIXELS", 1)
    single = noise_variation(sampler, 2, rows=1, columns=3, realisations=10)
    assert np.abs(single.cells.astype(int) - whole.cells).max() <= 1
    assert single.largest == pytest.approx(whole.largest, rel=1e-4)
    more = noise_variation(sampler, 2, rows=1, columns=12, realisations=10)
    assert more.largest == pytest.approx(whole.largest, rel=1e-4)
    assert len(more.cells) == 13


# ---------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize("tool", ["mix", "noise"])
def test_tools_for_styles_write_a_picture_at_any_stage(tool, growing, invoke, tmp_path):
    out = tmp_path / "figure.png"
    result = invoke(tool, growing, "--out", out, "--seed", 2, "--truncation", "0.8")
    assert result.exit_code == 0 and "generation 8" in result.stdout
    with Image.open(out) as picture:
        assert min(picture.size) > 100
    again = tmp_path / "again.png"
    invoke(tool, growing, "--out", again, "--seed", 2, "--truncation", "0.8")
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize("tool", ["mix", "noise"])
@pytest.mark.parametrize("backbone", ["dcgan", "mlp"])
def test_tools_for_styles_refuse_a_generator_without(tool, backbone, plain, refusal, tmp_path):
    message = refusal(tool, plain[backbone], "--out", tmp_path / "a.png")
    assert "needs a generator with styles (backbone.name: stylegan)" in message


@pytest.mark.parametrize("tool", ["mix", "noise", "interpolate"])
def test_another_suffix_is_refused_before_anything_is_computed(tool, grown, refusal, tmp_path):
    assert "must end in .png" in refusal(tool, grown, "--out", tmp_path / "a.jpg")
    too_many = ("--points", 300) if tool == "interpolate" else ("--rows", 300)
    message = refusal(tool, grown, "--out", tmp_path / "a.png", *too_many)
    assert "at most 256 latents" in message
