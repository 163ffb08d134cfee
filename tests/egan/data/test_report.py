"""The report of what was read: the same words for every source."""

import numpy as np

from egan.data import ImageSource, open_source
from egan.data.config import DigitsConfig, GaussiansConfig
from egan.data.pairs import PairSource
from egan.data.report import reading_of, report, report_of
from egan.data.source import Origin

IMAGES = np.zeros((4, 3, 8, 6), np.uint8)


def test_labels_tags_and_what_was_left_out_have_a_line_each():
    source = ImageSource(
        "set", IMAGES, np.array([0, 2, 2, 2]), ("a", "b", "c"),
        tags=np.array([[1, 0], [1, 0.5], [0, 0], [1, 0]], np.float32), tag_names=("x", "y"),
        origin=Origin("dataset.json", "tags.csv", (("broken (z.png)", 1), (".gif", 3)), ("so",)),
    )  # fmt: skip
    assert report_of(source) == [
        "data: set, 4 of 6 x 8, colour",
        "  3 classes, from dataset.json: a 1, b 0, c 3",
        "  2 tags, from tags.csv: x 3, y 1",
        "  so",
        "  left out: 1 broken (z.png); 3 .gif",
    ]
    unused = report("set", 4, source.shape, reading_of(source), ("labels",))
    assert unused[1].endswith("; not used as conditions, unless data.condition=labels")
    assert unused[2] == "  2 tags, from tags.csv: x 3, y 1"


def test_of_many_classes_the_first_and_the_extremes_are_named():
    labels = np.repeat(np.arange(100), [2] * 40 + [1] + [2] * 58 + [3])
    images = np.zeros((len(labels), 1, 4, 4), np.uint8)
    line = report_of(ImageSource("many", images, labels))[1]
    assert line.startswith("  100 classes: 0 2, 1 2, ") and "12 2" not in line
    assert line.endswith("11 2, ... (fewest: 40 1, most: 99 3)")


def test_every_kind_of_source_has_a_report():
    assert report_of(open_source(GaussiansConfig())) == ["data: ring8, points of 2 coordinates"]
    digits = report_of(open_source(DigitsConfig(resolution=8)))
    assert digits[0] == "data: digits, 1,797 of 8 x 8, grey"
    assert digits[1].startswith("  10 classes, from scikit-learn: 0 178, 1 182, ")
    pairs = PairSource("p", IMAGES, IMAGES[:, :1], True, (8, 6), skipped=(("a", "is bad"),))
    assert report_of(pairs) == [
        "data: p, 4 of 6 x 8, colour", "  pairs: each has a partner, grey",
        "  left out: 1 bad: is bad",
    ]  # fmt: skip
    apart = PairSource("p", IMAGES, IMAGES[:3], False, (8, 6))
    assert report_of(apart)[1] == "  two sets that are no pairs: 4 of A, 3 of B, colour"
    assert report_of(ImageSource("plain", IMAGES, origin=Origin("none"))) == [
        "data: plain, 4 of 6 x 8, colour", "  no labels: none",
    ]  # fmt: skip
