"""The rules that choose a config: a table of data and machines, and what is chosen for them."""

from pathlib import Path

import pytest

from egan.data import DataError
from egan.data.config import ImagesConfig, PackedConfig
from egan.data.facts import Facts
from runs.config.choice import Machine, choose
from runs.config.loading import validate, with_changes

IMAGES, PACKED = ImagesConfig(path=Path("photos")), PackedConfig(path=Path("photos"))
CPU, GPU = Machine(2), Machine(16, gpu=True, spaces=("inception",))


def facts(count=1000, side=100, channels=3, config=IMAGES, sides=None, **others):
    return Facts(config, count, channels, sides or {side: count}, f"{side} x {side}", **others)


def chosen(*arguments, **given):
    given = {key.replace("__", "."): value for key, value in given.items()}
    return {row.key: row for row in choose(*arguments, given)}


def values(*arguments, **given):
    return {key: row.value for key, row in chosen(*arguments, **given).items()}


@pytest.mark.parametrize(
    ("data", "machine", "wanted"),
    [
        (facts(side=100), CPU, {"data.resolution": 32, "backbone.width": 32}),
        (facts(side=100), GPU, {"data.resolution": 64, "backbone.width": 64}),
        (facts(side=28), CPU, {"data.resolution": 32}),
        (facts(side=27), GPU, {"data.resolution": 16}),
        (facts(side=8), CPU, {"data.resolution": 8}),
        (facts(sides={20: 1, 300: 99}), CPU, {"data.resolution": 16}),
        (facts(count=1000), CPU, {"population.batch": 64, "fitness.batch": 64}),
        (facts(count=40), CPU, {"population.batch": 32, "fitness.batch": 32}),
        (facts(count=3), CPU, {"population.batch": 8}),
        (facts(count=100), CPU, {"discriminator.augment": "ada"}),
        (facts(count=49_999), GPU, {"discriminator.augment": "ada"}),
        (facts(count=50_000), CPU, {"discriminator.augment": "none"}),
        (facts(classes=2), GPU, {"evaluation.space": "classifier", "data.condition": None}),
        (facts(classes=2, count=39), CPU, {"evaluation.every": None}),
        (facts(), CPU, {"evaluation.every": None, "evaluation.space": "pixels"}),
        (facts(), GPU, {"evaluation.space": "inception", "generations": 50_000}),
        (facts(channels=1), GPU, {"evaluation.every": None}),
        (facts(), Machine(64), {"execution.threads": 4, "execution.precision": "nothing"}),
        (facts(), GPU, {"execution.precision": "tf32"}),
    ],
)
def test_the_choice(data, machine, wanted):
    found = values(data, machine)
    assert {key: found.get(key, "nothing") for key in wanted} == wanted


@pytest.mark.parametrize("machine", [CPU, GPU])
@pytest.mark.parametrize("data", [facts(), facts(classes=3), facts(count=9, side=20, channels=1)])
def test_every_choice_has_a_reason_and_makes_a_valid_config(data, machine):
    rows = choose(data, machine)
    assert all(row.reason for row in rows)
    keys = [row.key for row in rows]
    assert len(set(keys)) == len(keys)
    given = [(row.key, row.value) for row in rows if row.value is not None]
    base = {"data": {"source": "images", "path": "photos"}, "backbone": {"name": "dcgan"}}
    validate(with_changes(base, given), "chosen")


@pytest.mark.parametrize(("classes", "said"), [(0, "no labels"), (5, "too few labels")])
def test_a_space_is_not_for_want_of_labels_that_are_there(classes, said):
    for machine in (CPU, GPU):
        row = chosen(facts(count=20, classes=classes), machine)["evaluation.space"]
        assert f"there are {said}" in row.reason


def test_what_is_given_stands_and_other_rules_follow_it():
    free = values(facts(), CPU)
    given = values(
        facts(),
        CPU,
        data__resolution=64,
        population__batch=32,
        population__mutations=("minimax", "heuristic", "least_squares", "blend"),
        checkpoint__every=7,
    )
    assert given["data.resolution"] == 64 and given["checkpoint.every"] == 7
    assert given["fitness.batch"] == 32
    # four times the pixels, half the batch, four mutations in place of one
    assert given["generations"] == pytest.approx(free["generations"] / 4, rel=0.1)
    assert values(facts(), CPU, generations=50)["checkpoint.every"] == 5
    assert "backbone.width" not in values(facts(), CPU, backbone__name="stylegan")


def test_reasons_say_what_becomes_of_the_images():
    def reason(data, machine=CPU):
        return chosen(data, machine)["data.resolution"].reason

    assert reason(facts(side=16)).endswith("images stay as they are")
    assert reason(facts(side=20)).endswith("images are shrunk")
    assert "cropped to the centre square and shrunk" in reason(facts(side=20, oblong=3))
    assert "(32 would enlarge 1)" in reason(facts(sides={20: 1, 300: 99}))
    assert "hours on a CPU" in reason(facts(side=64))
    assert "by more than a seventh" in reason(facts(side=28))
    assert reason(facts(side=28)).endswith("images are enlarged")
    assert "data.condition=labels" in chosen(facts(classes=4), CPU)["data.condition"].reason


def test_small_images_are_refused_unless_they_are_to_be_enlarged():
    with pytest.raises(DataError, match=r"photos: the smallest image is 6 x 6, .* at least 8 x 8"):
        choose(facts(side=6), CPU)
    assert values(facts(side=6), CPU, data__resolution=8)["data.resolution"] == 8


def test_packed_images_keep_their_size():
    assert "data.resolution" not in values(facts(side=32, config=PACKED), CPU)
    with pytest.raises(DataError, match=r"packed images of 48 x 48.*--resolution"):
        choose(facts(side=48, config=PACKED), CPU)
