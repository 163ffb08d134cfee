"""Samples of runs with conditions: by class, by tags, in grids, in the latent tools, in files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from egan.data.condition import ConditionCard
from runs.common.errors import ConfigError
from runs.config.loading import load_config
from runs.sampling.conditions import asked_for
from runs.sampling.generators import CARD, load_sampler, save_generator
from runs.sampling.latent import interpolation, mixing_grid, noise_variation
from runs.sampling.opening import chosen_snapshot, open_sampler, sample
from runs.sampling.pictures import LONGEST_TEXT, image_grid, shortened
from runs.sampling.sampler import BATCH
from runs.sampling.styled import StyledGenerator
from runs.sampling.writing import usual_count
from runs.store.folder import RunFolder
from runs.training.driver import evolve
from tests.runs.copies import no_plots

RUN = """\
generations: 2
population: {batch: 8, mutations: [heuristic]}
fitness: {batch: 8}
execution: {executor: local}
tracking: {enabled: false}
"""
DIGITS = "data: {source: digits, resolution: 8, condition: labels}\n"
KINDS = {
    "dcgan": DIGITS + "backbone: {name: dcgan, latent: 4, width: 4}\n",
    "stylegan": DIGITS + "backbone: {name: stylegan, latent: 6, style: 5, mapping_layers: 2, "
    "fmap_base: 64, fmap_max: 8}\n",
    "mlp": "data: {source: gaussians, condition: labels}\n"
    "backbone: {name: mlp, width: 8, depth: 1}\n",
    "tags": "data: {source: array, path: PATH, condition: tags}\n"
    "backbone: {name: dcgan, latent: 4, width: 4}\n"
    "game: {condition_ramp: 1000}\n",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, Path]:
    """Runs with conditions, by kind."""
    folder = tmp_path_factory.mktemp("told")
    stream = np.random.default_rng(0)
    images = stream.integers(256, size=(40, 8, 8), dtype=np.uint8)
    tags = stream.integers(2, size=(40, 3)).astype(np.float32)
    np.savez(folder / "tagged.npz", images=images, tags=tags, tag_names=["hat", "smile", "beard"])
    runs = {}
    with no_plots():
        for kind, text in KINDS.items():
            config = folder / f"{kind}.yaml"
            config.write_text(text.replace("PATH", str(folder / "tagged.npz")) + RUN)
            runs[kind] = evolve(load_config(config), folder / kind).path
    return runs


def sampler_of(run: Path):
    return open_sampler(run)[0]


def vectors(labels) -> torch.Tensor:
    return torch.eye(10)[torch.as_tensor(labels)]


@pytest.mark.parametrize("kind", ["dcgan", "stylegan"])
def test_what_others_are_asked_for_does_not_change_an_image(told, kind):
    sampler = sampler_of(told[kind])
    labels = np.arange(300) % 10
    mixed = sampler(300, 1, vectors(labels))
    for label in (0, 7):
        alone = sampler(300, 1, vectors([label] * 300))
        mine = labels == label
        assert np.array_equal(alone[mine], mixed[mine])
        assert not np.array_equal(alone[~mine], mixed[~mine])
    assert np.array_equal(sampler(5, 1, vectors(labels[:5])), mixed[:5])


@pytest.mark.parametrize("kind", ["dcgan", "stylegan"])
def test_a_row_of_a_grid_is_what_its_class_gives(told, kind):
    sampler = sampler_of(told[kind])
    columns = 40  # so that the grid is made in two parts
    cells = sampler.table(torch.eye(10), columns, 3)
    for label in range(10):
        row = cells[label * columns : (label + 1) * columns]
        assert np.array_equal(row, sampler(columns, 3, vectors([label] * columns)))


def test_the_grid_that_a_run_draws_has_a_row_for_each_class(told):
    expected = image_grid(sampler_of(told["dcgan"]).table(torch.eye(10), 10, 0), 10)[:, :, 0]
    with Image.open(told["dcgan"] / "samples" / "generation-00000002.png") as image:
        drawn = np.asarray(image)
    assert drawn.shape[1] > expected.shape[1], "the names are beside it"
    assert np.array_equal(drawn[:, -expected.shape[1] :], expected)


@pytest.mark.parametrize(("classes", "count"), [(1, 64), (2, 2 * 16), (10, 10 * 10), (40, 40 * 4)])
def test_a_grid_has_rows_of_some_but_not_too_many(told, classes, count):
    sampler = sampler_of(told["dcgan"])
    asked = asked_for(sampler.conditions, [str(n % 10) for n in range(classes)])
    assert usual_count(sampler, 64, asked) == count


def test_a_file_says_what_its_samples_were_asked_for(told, invoke, tmp_path):
    run, out = told["dcgan"], tmp_path / "a.npz"
    invoke("sample", run, "--count", BATCH + 9, "--seed", 2, "--out", out)
    with np.load(out) as file:
        images, labels, classes = (file[key] for key in ("images", "labels", "classes"))
    assert list(classes) == [str(label) for label in range(10)]
    assert set(labels) == set(range(10)), "like the data's"
    assert np.array_equal(images, sampler_of(run)(BATCH + 9, 2, vectors(labels)))
    assert np.array_equal(images, sampler_of(run)(BATCH + 9, 2))
    invoke("sample", run, "--class", "7", "--class", "4", "--count", 5, "--out", out)
    with np.load(out) as file:
        assert file["labels"].tolist() == [7, 4, 7, 4, 7]


def test_a_program_asks_by_name_too(told):
    found = sample(told["dcgan"], 5, 1, classes=["7", "4"])
    assert np.array_equal(found, sampler_of(told["dcgan"])(5, 1, vectors([7, 4, 7, 4, 7])))
    with pytest.raises(ConfigError, match="no class 'seven'"):
        sample(told["dcgan"], classes=["seven"])


def test_points_are_asked_for_by_mode(told, invoke, tmp_path):
    out = tmp_path / "a.npz"
    invoke("sample", told["mlp"], "--class", "3", "--count", 5, "--out", out)
    with np.load(out) as file:
        assert file["points"].shape == (5, 2)
        assert file["labels"].tolist() == [3] * 5
    done = invoke("sample", told["mlp"], "--out", tmp_path / "a.png")
    assert done.exit_code == 0, done.output


def test_tags_are_asked_for_by_name_and_drawn_from_the_datas_rows(told, invoke, tmp_path):
    out = tmp_path / "a.npz"
    invoke("sample", told["tags"], "--tags", "hat,beard", "--tags", "smile", "--count", 3,
           "--out", out)  # fmt: skip
    with np.load(out) as file:
        assert file["tags"].tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
        assert list(file["tag_names"]) == ["hat", "smile", "beard"]
    invoke("sample", told["tags"], "--count", 50, "--out", out)
    rows = RunFolder(told["tags"]).load_data().conditions.rows
    with np.load(out) as file:
        assert {tuple(row) for row in file["tags"].tolist()} <= set(rows)
    done = invoke("sample", told["tags"], "--out", tmp_path / "a.png")
    assert done.exit_code == 0, done.output


def test_while_conditions_fade_in_samples_are_told_what_the_networks_learned_from(told):
    sampler = sampler_of(told["tags"])
    assert 0 < sampler.shown < 1000
    asked = asked_for(sampler.conditions, tags=["hat", "smile"]).cycled(6)
    mean = torch.tensor(sampler.conditions.conditions.mean)
    between = mean.lerp(asked, sampler.shown / 1000)
    expected = replace(sampler, shown=None)(6, 0, between)
    assert np.array_equal(sampler(6, 0, asked), expected)
    assert not np.array_equal(replace(sampler, shown=None)(6, 0, asked), expected)


def test_sample_says_how_far_conditions_have_faded_in(told, invoke, tmp_path):
    done = invoke("sample", told["tags"], "--tags", "hat", "--out", tmp_path / "a.png")
    share = sampler_of(told["tags"]).shown / 1000
    assert f"conditions have faded in by {share:.1%} so far" in done.output
    done = invoke("sample", told["dcgan"], "--class", "3", "--out", tmp_path / "a.png")
    assert done.exit_code == 0 and "faded" not in done.output


def test_inspect_says_that_fakes_are_asked_for_conditions(told, invoke):
    assert "fakes are generated for labels" in invoke("inspect", told["dcgan"]).output
    assert "fakes are generated for tags" in invoke("inspect", told["tags"]).output


@pytest.mark.parametrize("kind", ["dcgan", "stylegan", "tags"])
def test_a_generators_folder_can_be_asked_as_its_run_can(told, kind, tmp_path):
    folder = RunFolder(told[kind])
    exported, _ = chosen_snapshot(folder)
    save_generator(tmp_path / "g", folder.load_config(), folder.load_data(), exported)
    own, saved = sampler_of(told[kind]), load_sampler(tmp_path / "g")
    assert saved.conditions == own.conditions
    assert isinstance(saved.conditions, ConditionCard)
    asked = torch.eye(own.conditions.conditions.size)
    assert np.array_equal(saved(3, 1, asked[:3]), own(3, 1, asked[:3]))
    assert np.array_equal(saved(9, 1), own(9, 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"shown": "many"},
        {"shown": -1},
        {"game": {"ac_weight": "x"}},
        {"conditions": {"conditions": {}, "counts": [1]}},
        {"counts": [0] * 10},
        {"counts": [1] * 9},
        {"counts": None},
    ],
)
def test_a_generators_folder_with_damaged_conditions_is_refused(told, changes, tmp_path):
    folder = RunFolder(told["dcgan"])
    exported, _ = chosen_snapshot(folder)
    save_generator(tmp_path / "g", folder.load_config(), folder.load_data(), exported)
    card = json.loads((tmp_path / "g" / CARD).read_text())
    place = card["conditions"] if "counts" in changes else card
    place.update(changes)
    (tmp_path / "g" / CARD).write_text(json.dumps(card))
    with pytest.raises(ConfigError, match="does not hold a whole generator"):
        load_sampler(tmp_path / "g")


@pytest.mark.parametrize(("kind", "space"), [("dcgan", "z"), ("stylegan", "z"), ("stylegan", "w")])
def test_between_classes_the_latent_stays_and_the_ends_are_the_classes(told, kind, space):
    sampler = sampler_of(told[kind])
    asked = asked_for(sampler.conditions, ["3", "8"])
    images = interpolation(sampler, 5, 2, 4, space, asked=asked)
    ends = sampler.table(asked.vectors, 1, 5)
    if kind == "dcgan":
        assert np.array_equal(images[[0, 4]], ends)
    else:  # all frames have one noise, and no styles are mixed
        assert np.abs(images[[0, 4]].astype(int) - ends).max() <= 40
    assert not np.array_equal(images[0], images[2])


def test_a_walk_between_latents_keeps_the_one_class_that_is_asked_for(told):
    sampler = sampler_of(told["dcgan"])
    asked = asked_for(sampler.conditions, ["3"])
    images = interpolation(sampler, 5, 3, 2, asked=asked)
    assert np.array_equal(images[::2], sampler(3, 5, vectors([3, 3, 3])))
    usual = interpolation(sampler, 5, 3, 2)
    assert np.array_equal(usual[::2], sampler(3, 5)), "else those that sample gives"


def test_mixing_and_noise_take_classes(told, invoke, tmp_path):
    sampler = sampler_of(told["stylegan"]).truncated(0.7)
    pictures = {}
    for label in ("3", "8"):
        asked = asked_for(sampler.conditions, [label])
        pictures[label] = (
            mixing_grid(sampler, 1, 2, 1, asked),
            noise_variation(sampler, 1, 2, 2, 4, asked).cells,
        )
    for three, eight in zip(*pictures.values(), strict=True):
        assert three.shape == eight.shape
        assert not np.array_equal(three, eight)
    for command in ("mix", "noise"):
        done = invoke(command, told["stylegan"], "--class", "3", "--out", tmp_path / "a.png")
        assert done.exit_code == 0, done.output


def test_truncation_is_towards_the_mean_of_the_class(told):
    sampler = sampler_of(told["stylegan"]).truncated(0.0)
    means = sampler.weights["generator"].buffers["mapping.class_means"]
    generator, asked = StyledGenerator.of(sampler, "test"), vectors([3, 8, 3])
    w = generator.map(sampler.inputs(3, 0).z, asked)
    styles = generator.styles(w, asked)
    assert torch.equal(styles, means[[3, 8, 3]][:, None].expand_as(styles))
    assert not torch.equal(means[3], means[8])
    drawn = sampler(3, 0, asked)
    assert not np.array_equal(drawn, sampler(3, 0, vectors([8, 8, 8]))), "sample does the same"


@pytest.mark.parametrize("command", ["sample", "mix", "interpolate", "noise"])
def test_a_run_without_conditions_is_asked_for_none(grown, refusal, command, tmp_path):
    message = refusal(command, grown, "--class", "3", "--out", tmp_path / "a.png")
    assert message.startswith("error: --class: this generator takes no conditions")
    assert len(message.strip().splitlines()) == 1


def test_a_misspelt_class_is_answered_with_the_nearest_before_anything_is_made(told, refusal):
    message = refusal("sample", told["tags"], "--tags", "hut", "--out", "a.png")
    assert "no tag 'hut'; did you mean 'hat'?" in message
    message = refusal("sample", told["dcgan"], "--class", "10", "--out", "a.png")
    assert "no class '10'" in message


def test_long_names_of_a_grids_rows_differ_as_the_names_do():
    same = "hair=long,eyes=blue,mouth=open,beard=none"
    names = [f"{same},hat", f"{same},glasses and a scarf of some colour or other", "short", same]
    texts = shortened(names)
    assert texts[0] == "…,hat" and texts[1].startswith("…,glasses") and texts[2:] == ["short", "…"]
    assert len(set(texts)) == len(names) and max(map(len, texts)) <= LONGEST_TEXT
    assert shortened([same, "short"])[0] == f"{same[: LONGEST_TEXT - 1]}…"
