"""Conditions: what the data say of each sample, as vectors, or a clear refusal."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from egan.data import DataError, open_source, prepare
from egan.data.condition import (
    KEPT_ROWS,
    Conditions,
    card_of,
    check_classifiable,
    conditions_of,
    marginal_of,
)
from egan.data.config import (
    ArrayConfig,
    DigitsConfig,
    GaussiansConfig,
    ImagesConfig,
    PackedConfig,
)
from egan.data.draws import Draws
from egan.data.source import ImageSource
from egan.streams import Purpose
from runs.store.folder import CARD, DataCard

TRAIN, OTHER = Purpose.TRAIN_DATA, Purpose.EVALUATION_DATA
COUNT = 40
IMAGES = np.arange(COUNT, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8), np.uint8)
LABELS = np.arange(COUNT) % 3
SHARES = (14 / 40, 13 / 40, 13 / 40)
TAGS = np.random.default_rng(0).random((COUNT, 5)).astype(np.float32)

HUGE = f'{{"labels": [["a.png", [1{"0" * 400}]], ["b.png", [1]], ["sub/c.png", [0]]]}}'


def array(path, **arrays):
    np.savez(path / "a.npz", images=IMAGES, **arrays)
    return path / "a.npz"


def conditioned(path, condition, **arrays):
    config = ArrayConfig(path=array(path, **arrays), condition=condition)
    return open_source(config), config


def test_without_a_condition_there_are_none(tmp_path):
    source, config = conditioned(tmp_path, None, labels=LABELS)
    assert conditions_of(source, config) is None and card_of(source, config) is None
    with pytest.raises(ValueError, match=r"data\.condition"):
        Draws(source, 0, {TRAIN: 4}).conditions(0, TRAIN)


def test_labels_are_one_hot_in_the_rows_of_the_draw(tmp_path):
    source, config = conditioned(tmp_path, "labels", labels=LABELS)
    conditions = conditions_of(source, config)
    assert conditions == Conditions("labels", 3, ("0", "1", "2"), SHARES)
    draws = Draws(source, 5, {TRAIN: 8, OTHER: 4}, conditions)
    for purpose in (TRAIN, OTHER):
        drawn = draws.conditions(2, purpose)
        assert drawn.dtype == torch.float32
        rows = ((draws(2, purpose)[:, 0, 0, 0] + 1) * 127.5).round().long()
        wanted = torch.zeros(len(rows), 3)
        for row, image in enumerate(rows.tolist()):
            wanted[row, LABELS[image]] = 1
        assert torch.equal(drawn, wanted)


def test_tags_are_the_rows_of_the_draw(tmp_path):
    source, config = conditioned(tmp_path, "tags", tags=TAGS, tag_names=np.array(list("abcde")))
    conditions = conditions_of(source, config)
    assert conditions == Conditions(
        "tags", 5, tuple("abcde"), tuple(TAGS.mean(0, dtype=np.float64))
    )
    draws = Draws(source, 5, {TRAIN: 8}, conditions)
    assert np.array_equal(draws.conditions(3, TRAIN), TAGS[draws.indices(3, TRAIN)])


@pytest.mark.parametrize("kind", ["labels", "tags"])
def test_the_marginal_is_rows_of_the_data_at_random(tmp_path, kind):
    labels = np.array([0] * 30 + [1] * 9 + [2])
    source, config = conditioned(
        tmp_path, kind, labels=labels, tags=TAGS, tag_names=np.array(list("abcde"))
    )
    draws = Draws(source, 5, {TRAIN: 8}, conditions_of(source, config))
    drawn = draws.marginal(4000, 3, TRAIN, 1, 0)
    assert drawn.dtype == torch.float32
    assert torch.equal(
        drawn,
        Draws(source, 5, {OTHER: 2}, draws._marginal.conditions).marginal(4000, 3, TRAIN, 1, 0),
    )
    others = [(4, TRAIN, 1, 0), (3, OTHER, 1, 0), (3, TRAIN, 1, 1), (3, TRAIN, 0, 0)]
    assert not any(torch.equal(drawn, draws.marginal(4000, *other)) for other in others)
    if kind == "labels":
        shares = np.bincount(drawn.argmax(1), minlength=3) / 4000
        assert np.abs(shares - np.array([30, 9, 1]) / 40).max() < 0.03
        assert torch.equal(drawn, torch.eye(3)[drawn.argmax(1)])
    else:
        assert {*map(tuple, drawn.tolist())} == {*map(tuple, TAGS.tolist())}


def test_a_mixture_is_conditioned_on_its_modes():
    config = GaussiansConfig(modes="grid25", condition="labels")
    source = open_source(config)
    conditions = conditions_of(source, config)
    assert conditions == Conditions("labels", 25, tuple(map(str, range(25))), (0.04,) * 25)
    draws = Draws(source, 1, {TRAIN: 64}, conditions)
    points, chosen = draws(4, TRAIN), draws.conditions(4, TRAIN).argmax(1)
    assert torch.equal(chosen, draws.labels(4, TRAIN))
    assert (points.double() - torch.from_numpy(source.centres)[chosen]).norm(dim=1).max() < 0.5
    assert card_of(source, config).counts == (1,) * 25
    with pytest.raises(DataError, match=r"gaussians: data\.condition is tags.*condition=labels"):
        conditions_of(source, config.model_copy(update={"condition": "tags"}))


def test_the_marginal_is_the_datas_own_rows(tmp_path):
    labels = np.array([0] * 30 + [1] * 9 + [2])
    source, config = conditioned(tmp_path, "labels", labels=labels)
    conditions = conditions_of(source, config)
    marginal = marginal_of(source, conditions)
    drawn = marginal[np.random.default_rng(0).integers(len(marginal), size=20_000)]
    assert np.allclose(drawn.mean(0), [30 / 40, 9 / 40, 1 / 40], atol=0.01)


@pytest.mark.parametrize(
    ("condition", "arrays", "message"),
    [
        ("labels", {}, r"these data have none.*condition=null"),
        ("labels", {"tags": TAGS}, r"these data have none.*condition=tags"),
        ("tags", {}, r"these data have none.*condition=null"),
        ("tags", {"labels": LABELS}, r"these data have none.*condition=labels"),
        ("labels", {"labels": LABELS * 0 + 2}, "all 40 images are of one class, 2"),
        ("labels", {"labels": LABELS * 1000}, "labels go up to 2000, more than there are images"),
        ("tags", {"tags": TAGS * 0 + 1}, "all 40 images have the same"),
    ],
)
def test_data_that_cannot_serve_are_refused_by_name(tmp_path, condition, arrays, message):
    source, config = conditioned(tmp_path, condition, **arrays)
    with pytest.raises(
        DataError, match=rf"a\.npz: data\.condition is {condition}.*{message}|{message}"
    ):
        conditions_of(source, config)


def test_tags_that_are_no_probabilities_cannot_be_classified(tmp_path):
    source, config = conditioned(tmp_path, "tags", tags=TAGS)
    check_classifiable(source, config)
    tags = TAGS.copy()
    tags[7, 2] = -0.5
    source, config = conditioned(tmp_path, "tags", tags=tags, labels=LABELS)
    with pytest.raises(DataError, match=r"a\.npz: game\.ac_weight.*image 7 has 2=-0\.5"):
        check_classifiable(source, config)
    check_classifiable(source, config.model_copy(update={"condition": "labels"}))


def test_why_there_are_no_labels_is_said(tmp_path):
    for shard in ("00000", "00001"):
        (tmp_path / shard).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / shard / "a.png")
    config = ImagesConfig(path=tmp_path, resolution=8, condition="labels")
    with pytest.raises(DataError, match=r"have none \(the folders 00000, 00001 look like shards"):
        conditions_of(open_source(config), config)
    config = config.model_copy(update={"labels": "folders"})
    assert conditions_of(open_source(config), config).names == ("00000", "00001")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": LABELS[:-1]}, "labels must be one for each of the 40 images"),
        ({"tags": TAGS[:-1]}, "a row for each of the 40 images"),
        ({"tags": TAGS[:, 0]}, "a row for each of the 40 images"),
        ({"tags": TAGS * np.float32(np.nan)}, r"(?<=/a\.npz), tags: image 0 has one"),
        ({"tags": TAGS.astype(np.float64) * 1e300}, "no finite number"),
        ({"tags": TAGS.astype(str)}, "must be numbers"),
        ({"tags": TAGS, "tag_names": np.array(["a"])}, "1 names for the 5 columns"),
        ({"tags": TAGS, "tag_names": np.array(list("abcda"))}, "two tags have one name"),
        ({"tags": TAGS, "tag_names": np.arange(5)}, "must be a row of texts"),
    ],
)
def test_arrays_that_do_not_fit_the_images_are_refused(tmp_path, arrays, message):
    with pytest.raises(DataError, match=rf"a\.npz.*{message}"):
        open_source(ArrayConfig(path=array(tmp_path, **arrays)))


def test_tags_of_a_source_that_has_none_are_refused_by_the_config():
    with pytest.raises(ValueError, match=r"these data have labels and no tags: .*=labels"):
        DigitsConfig(condition="tags")


def test_the_digits_and_named_classes_keep_their_names(tmp_path):
    config = DigitsConfig(condition="labels", resolution=8)
    assert conditions_of(open_source(config), config).names == tuple("0123456789")
    source, config = conditioned(
        tmp_path, "labels", labels=LABELS, classes=np.array(["cat", "dog", "hen", "none"])
    )
    wanted = Conditions("labels", 4, ("cat", "dog", "hen", "none"), (*SHARES, 0.0))
    assert conditions_of(source, config) == wanted
    assert card_of(source, config).counts == (14, 13, 13, 0)


def tree(path, **files):
    for index, name in enumerate(("b.png", "a.png", "sub/c.png")):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), index).save(path / name)
    for name, text in files.items():
        (path / f"{name}.{'csv' if name == 'tags' else 'json'}").write_text(text)
    return path


def of_tree(path, **files):
    config = ImagesConfig(path=tree(path, **files), resolution=8, condition="tags")
    return open_source(config)


def test_tags_beside_images_are_read_as_words(tmp_path):
    source = of_tree(tmp_path, tags="a.png,red,round\n./b.png, red \nsub\\c.png\n")
    assert source.tag_names == ("red", "round")
    assert source.tags.tolist() == [[1, 1], [1, 0], [0, 0]]  # in the order of names: a, b, sub/c


def test_tags_beside_images_are_read_as_columns(tmp_path):
    source = of_tree(tmp_path, tags="file,size,red\nsub/c.png,0.5,1\na.png,-1,0\nb.png,2,0\n")
    assert source.tag_names == ("size", "red")
    assert source.tags.tolist() == [[-1, 0], [2, 0], [0.5, 1]]


def test_vectors_in_dataset_json_are_tags(tmp_path):
    labels = [["b.png", [1, 0]], ["a.png", [0.25, 1]], ["sub/c.png", [0, 0]]]
    source = of_tree(tmp_path, dataset=json.dumps({"labels": labels}))
    assert source.labels is None and source.tag_names == ("0", "1")
    assert source.tags.tolist() == [[0.25, 1], [1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tags": "a.png,red\nb.png,blue\n"}, r"tags\.csv: no tags of sub/c\.png: 1 of 3 images"),
        ({"tags": "a.png\nb.png\nsub/c.png\n"}, r"tags\.csv: names no tag"),
        ({"tags": "a.png,x\na.png,y\nb.png\nsub/c.png"}, r"a\.png is listed twice, with \['x'\] "),
        ({"tags": "a.png,x\nb.png\nsub/c.png\nd.png,x"}, r"lists 4 files, and 1 of them.*d\.png"),
        ({"tags": "file,x\na.png,1\nb.png,red\nsub/c.png,0"}, r"b\.png: red are not numbers"),
        ({"tags": "file,x\na.png,1\nb.png\nsub/c.png,0"}, r"b\.png has 0 numbers, and there are 1"),
        ({"tags": "file,x\na.png,1\nb.png,nan\nsub/c.png,0"}, r"b\.png has a number that is not"),
        ({"tags": "file,x,x\na.png,1,1\nb.png,0,0\nsub/c.png,0,0"}, "each once"),
        ({"tags": '"a.png,red'}, r"not a \.csv file"),
        ({"dataset": '{"labels": [["a.png", [1]], ["b.png", [1, 2]], ["sub/c.png", [0]]]}'},
         r"a\.png has 1 numbers, and so must b\.png"),
        ({"dataset": '{"labels": [["a.png", [1]], ["b.png", 1], ["sub/c.png", [0]]]}'},
         r"a\.png has 1 numbers, and so must b\.png, not 1"),
        ({"dataset": '{"labels": [["a.png", [1e999]], ["b.png", [1]], ["sub/c.png", [0]]]}'},
         r"a\.png has a number that is not finite"),
        ({"dataset": HUGE}, "not finite"),
        ({"dataset": '{"labels": [["a.png", [1]], ["b.png", [1]], ["sub/c.png", [0]]]}',
          "tags": "a.png,x\nb.png\nsub/c.png"}, r"both dataset\.json and tags\.csv"),
    ],
)  # fmt: skip
def test_annotations_that_do_not_fit_are_refused(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        of_tree(tmp_path, **files)


def test_packed_images_keep_labels_and_tags(tmp_path):
    source = of_tree(tmp_path / "tree", tags="a.png,red,round\nb.png\nsub/c.png,red\n")
    (tmp_path / "tree/b.png").write_bytes(b"")
    prepare(tmp_path / "tree", tmp_path / "packed", 8, skip_bad=True)
    config = PackedConfig(path=tmp_path / "packed", condition="tags")
    packed = open_source(config)
    assert packed.tag_names == source.tag_names
    assert packed.tags.tolist() == [[1, 1], [1, 0]]
    assert conditions_of(packed, config) == Conditions("tags", 2, ("red", "round"), (1.0, 0.5))
    prepare(tmp_path / "packed", tmp_path / "again", 8)
    assert open_source(PackedConfig(path=tmp_path / "again")).tags.tolist() == [[1, 1], [1, 0]]


def test_the_record_of_a_run_holds_what_sampling_needs(tmp_path):
    source, config = conditioned(tmp_path, "labels", labels=LABELS)
    card = DataCard.of(source, config)
    assert card.conditions.counts == (14, 13, 13)
    wide = np.random.default_rng(1).random((3 * KEPT_ROWS, 2)).astype(np.float32)
    many = ImageSource(
        "many", np.zeros((len(wide), 1, 4, 4), np.uint8), tags=wide, tag_names=("a", "b")
    )
    kept = DataCard.of(many, ArrayConfig(path="/x", condition="tags"))
    rows = kept.conditions.rows
    assert len(rows) == KEPT_ROWS and set(rows) <= set(map(tuple, wide.tolist()))
    assert kept == DataCard.of(many, ArrayConfig(path="/x", condition="tags"))
    for each in (card, kept):
        read = CARD.validate_python(json.loads(json.dumps(dataclasses.asdict(each))))
        assert read == each
    changed = wide.copy()
    changed[5, 0] += 1
    other = dataclasses.replace(many, tags=changed)
    assert (
        DataCard.of(other, ArrayConfig(path="/x", condition="tags")).conditions != kept.conditions
    )


def test_a_fingerprint_is_of_images_and_labels_as_before(tmp_path):
    plain, _ = conditioned(tmp_path, None, labels=LABELS)
    tagged, _ = conditioned(tmp_path, None, labels=LABELS, tags=TAGS)
    assert plain.fingerprint == tagged.fingerprint
