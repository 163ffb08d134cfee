"""Trees of images: wrapping folders, parts, classes, shards; what contradicts itself is refused."""

import json
import zipfile
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from egan.data import DataError
from egan.data.config import ImagesConfig
from egan.data.images import list_images
from egan.data.layout import PARTS, read_layout


class Names:
    """A tree of given names, with the contents of some."""

    def __init__(self, path, names, **contents):
        self.path, self.unread = path, []
        self.contents = {name: text.encode() for name, text in contents.items()}
        self.names = sorted([*names, *contents])

    def read(self, name):
        return self.contents[name]


def layout(names, contents=None, **config):
    tree = Names("set", names, **(contents or {}))
    return read_layout(tree, ImagesConfig(path="/set", **config))


def labels_of(found):
    classes = found.about.classes
    return (
        None
        if found.about.labels is None
        else [label if classes is None else classes[label] for label in found.about.labels]
    )


def indexed(*pairs):
    return json.dumps({"labels": pairs})


CATS = ["cats/1.png", "cats/2.png", "dogs/1.png"]


def test_a_dataset_json_is_found_in_a_wrapping_folder():
    names = [f"wrap/0000{i}/a.png" for i in range(3)]
    inner = indexed(["00000/a.png", 2], ["00001/a.png", 0], ["00002/a.png", 2])
    found = layout(names, {"wrap/dataset.json": inner})
    assert labels_of(found) == [2, 0, 2]
    outer = indexed(*([name, 1] for name in names))
    assert labels_of(layout(names, {"dataset.json": outer})) == [1, 1, 1]
    with pytest.raises(DataError, match=r"both dataset\.json and wrap/dataset\.json"):
        layout(names, {"wrap/dataset.json": inner, "dataset.json": outer})


def test_a_dataset_json_beside_some_of_the_images_is_refused():
    with pytest.raises(DataError, match=r"cats/dataset\.json lies beside only 2 of the 3 images"):
        layout(CATS, {"cats/dataset.json": indexed(["1.png", 0], ["2.png", 1])})


def test_shards_are_no_classes_unless_it_is_said():
    names = [f"0000{i}/img0000000{j}.png" for i in range(3) for j in range(2)]
    found = layout(names)
    assert found.about.labels is None and "look like shards" in found.about.labels_from
    assert layout(names, labels="folders").about.classes == ("00000", "00001", "00002")
    assert labels_of(layout(["0/a.png", "1/a.png", "2/a.png"])) == ["0", "1", "2"]


@pytest.mark.parametrize("wrap", ["", "wrap/", "a/b/"])
def test_training_never_sees_the_other_parts(wrap):
    names = [f"{wrap}{part}/{name}" for part in ("train", "val", "Test") for name in CATS]
    found = layout([*names, f"{wrap}Test/hens/1.png"])
    assert found.names == [f"{wrap}train/{name}" for name in CATS]
    assert labels_of(found) == ["cats", "cats", "dogs"]
    assert found.about.classes == ("cats", "dogs", "hens")  # the same ones in all parts
    assert found.left_out == (("images of the part test", 4), ("images of the part val", 3))
    test = layout([*names, f"{wrap}Test/hens/1.png"], part="test")
    assert labels_of(test) == ["cats", "cats", "dogs", "hens"]
    assert test.about.classes == found.about.classes
    assert len(layout(names, part="all").names) == 9
    as_classes = layout(names, labels="folders")
    assert as_classes.about.classes == ("Test", "train", "val")


def test_folders_between_the_parts_and_the_classes_are_no_classes():
    names = [f"{part}/images/{name}" for part in ("train", "test") for name in CATS]
    assert labels_of(layout(names)) == ["cats", "cats", "dogs"]


def test_a_part_may_have_its_own_dataset_json():
    names = ["train/a.png", "test/a.png", "test/b.png"]
    index = {"train/dataset.json": indexed(["a.png", 4]),
             "test/dataset.json": indexed(["a.png", 1], ["b.png", 2])}  # fmt: skip
    assert labels_of(layout(names, index)) == [4]
    assert labels_of(layout(names, index, part="test")) == [1, 2]
    with pytest.raises(DataError, match="lies beside only"):
        layout(names, index, part="all")


def test_one_part_alone_is_a_part():
    names = [f"set/test/{name}" for name in CATS]
    with pytest.raises(DataError, match="has no part train, only test"):
        layout(names)
    assert layout(names, part="test").names == names
    assert labels_of(layout([f"set/train/{name}" for name in CATS])) == ["cats", "cats", "dogs"]


def test_one_class_may_be_called_like_a_part():
    assert labels_of(layout(["bus/1.png", "car/1.png", "train/1.png"])) == ["bus", "car", "train"]


@pytest.mark.parametrize(
    ("names", "config", "message"),
    [
        ([*CATS, "stray.png"], {}, r"3 images lie in 2 folders \(cats, dogs\), and 1 beside them "
         r"\(stray\.png\).*data\.labels=none.*--labels none"),
        (["train/a.png", "test/b.png", "extra/c.png"], {}, r"parts test, train, and 1 images"),
        (["train/a.png", "test/b.png", "c.png"], {}, r"parts test, train, and 1 images.*c\.png"),
        (["val/a.png", "test/b.png"], {}, "has no part train, only test, val"),
        (CATS, {"part": "test"}, "there are no parts: its folders are cats, dogs"),
        (["a.png"], {"part": "train"}, "there are no parts: its folders are none"),
        (["a.png"], {"labels": "folders"}, "0 images lie in 0 folders"),
        (CATS, {"labels": "json"}, r"there is no dataset\.json"),
        (["a.gif", "b.gif", "c", "d.txt"], {}, r"found 2 \.gif, 1 \.txt, 1 without a suffix|"
         r"found 2 \.gif, 1 without a suffix, 1 \.txt"),
        ([], {}, "found no files"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_and_both_sides_are_named(names, config, message):
    with pytest.raises(DataError, match=message):
        layout(names, **config)


def test_the_remedies_of_a_stray_image_work():
    names = [*CATS, "stray.png"]
    assert layout(names, labels="none").about.labels is None
    assert len(layout(names, labels="none").names) == 4
    index = {"dataset.json": indexed(*([name, 1] for name in names))}
    assert labels_of(layout(names, index)) == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([["a.png", 1], ["b.png", 2], ["a.png", 3]], r"a\.png is listed twice, with 1 and 3"),
        ([["a.png", 1], ["./a.png", 3], ["b.png", 2]], r"a\.png is listed twice, with 1 and 3"),
        ([["a.png", 1], ["a.png", True], ["b.png", 2]], r"a\.png is listed twice"),
        ([[f"{i}.png", 1] for i in range(60)], r"lists 60 files, and 60 of them are not there: "
         r"0\.png, 1\.png, 2\.png and 57 more"),
        ([["a.png", 1]], r"no label of b\.png: 1 of 2 images are not listed"),
    ],
)  # fmt: skip
def test_a_dataset_json_that_contradicts_the_images_is_refused(pairs, message):
    with pytest.raises(DataError, match=rf"dataset\.json: {message}"):
        layout(["a.png", "b.png"], {"dataset.json": indexed(*pairs)})


def test_paths_in_a_dataset_json_may_be_written_otherwise():
    pairs = [["./sub/a.png", 1], ["sub\\b.png", 2], ["sub/a.png", 1], ["notes.txt", 9]]
    found = layout(["sub/a.png", "sub/b.png", "notes.txt"], {"dataset.json": indexed(*pairs)})
    assert labels_of(found) == [1, 2]


def test_what_is_left_out_is_counted_by_reason(tmp_path):
    images = {"a.png": "PNG", "b.JFIF": "JPEG", "c.bmp": "BMP", "d.tif": "TIFF", "sub/e.dib": "BMP"}
    for name, kind in (images | {".f.png": "PNG", "__MACOSX/g.png": "PNG"}).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name, format=kind)
    for name in ("x.gif", "y.GIF", "z.txt", "README", ".DS_Store"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "lost.png").symlink_to(tmp_path / "gone.png")
    files = list_images(ImagesConfig(path=tmp_path, resolution=8))
    assert files.names == list(images)
    assert len(list(files.decode())) == 5
    assert files.origin.left_out == (
        ("without a suffix (kind of file that is not read)", 1),
        (".gif (kind of file that is not read)", 2),
        (".txt (kind of file that is not read)", 1),
        ("hidden", 2),
        ("broken link (lost.png)", 1),
    )


def test_entries_of_an_archive_are_named_without_dots(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for name in ("./1.png", ".//sub/2.png"):
            archive.writestr(name, content)
        archive.writestr("./dataset.json", indexed(["1.png", 5], ["sub/2.png", 6]))
    files = list_images(ImagesConfig(path=tmp_path / "s.zip"))
    assert files.names == ["1.png", "sub/2.png"] and files.about.labels.tolist() == [5, 6]
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        zipfile.ZipFile(tmp_path / "s.zip", "a") as archive,
    ):
        archive.writestr("./1.png", content)
    assert list_images(ImagesConfig(path=tmp_path / "s.zip")).names == ["1.png", "sub/2.png"]
    with zipfile.ZipFile(tmp_path / "s.zip", "a") as archive:
        archive.writestr("1.png", content + b"more")
    with pytest.raises(DataError, match=r"two different entries 1\.png, of \d+ and \d+ bytes"):
        list_images(ImagesConfig(path=tmp_path / "s.zip"))


folder_names = st.sampled_from(["a", "b", "00001", "train", "test", "VAL", "x"])
paths = st.lists(
    st.tuples(st.lists(folder_names, max_size=3), st.sampled_from(["1.png", "2.jpg", "n.txt"])),
    min_size=1, max_size=8, unique_by=lambda path: (tuple(path[0]), path[1]),
)  # fmt: skip


@given(
    paths,
    st.sampled_from([None, "train", "test", "all"]),
    st.sampled_from([None, "none", "folders"]),
)
@settings(max_examples=settings().max_examples * 3)
def test_any_tree_is_laid_out_or_refused(paths, part, labels):
    names = ["/".join([*folders, file]) for folders, file in paths]
    images = {name for name in names if not name.endswith(".txt")}
    try:
        found = layout(names, part=part, labels=labels)
    except DataError as error:
        assert "/set" in str(error) or "set:" in str(error)
        return
    assert set(found.names) <= images and found.names == sorted(found.names)
    out = sum(count for what, count in found.left_out if what.startswith("images of the part"))
    assert len(found.names) + out == len(images)  # none is lost in silence
    if part not in (None, "all"):
        for name in found.names:
            assert part in {PARTS.get(folder.lower()) for folder in PurePosixPath(name).parts}
    if found.about.labels is not None:
        assert labels != "none"
        for name, label in zip(found.names, labels_of(found), strict=True):
            assert label in PurePosixPath(name).parts[:-1]


@given(st.data())
@settings(max_examples=settings().max_examples * 2)
def test_a_dataset_json_means_what_a_plain_reading_of_it_says(data):
    files = [f"{i}.png" for i in range(data.draw(st.integers(1, 4)))]
    label = st.integers(-1, 3)
    spelled = st.sampled_from(["{}", "./{}", "x/../{}", "{} "])
    pairs = data.draw(
        st.lists(st.tuples(st.sampled_from([*files, "9.png"]), label, spelled), max_size=8)
    )
    wanted, good = {}, True
    for file, value, spelling in pairs:
        if spelling.startswith("x/.."):  # not the same text: it names nothing
            good = False
        good &= wanted.setdefault(file, value) == value and value >= 0
    good &= set(wanted) == set(files)
    index = {"dataset.json": indexed(*([how.format(file), value] for file, value, how in pairs))}
    try:
        found = layout(files, index)
    except DataError:
        assert not good
    else:
        assert good and np.array_equal(found.about.labels, [wanted[file] for file in files])
