"""What metrics by class mean: what must happen to them when the images have a known fault."""

import numpy as np
import pytest
import torch

from fitness.classes import ClassComparison, Labelled, score_modes
from fitness.evaluation import evaluate_images
from fitness.features import classifier as learner
from fitness.features.pixels import PixelSpace
from fitness.metrics.classes import split_by_class
from fitness.metrics.names import GROUPS, MetricName

COUNT = 400
ALL = GROUPS["by-class"]


@pytest.fixture(scope="module", autouse=True)
def short_lessons():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "LEAST_STEPS", 40)
        yield


@pytest.fixture(scope="module")
def places(digits):
    """Where three disjoint sets of digits lie, with equal numbers of each class."""
    labels = digits[1].numpy()
    first, second = split_by_class(labels, COUNT, np.random.default_rng(0))
    rest = np.setdiff1d(np.arange(len(labels)), np.concatenate([first, second]))
    third = [rest[labels[rest] == label][:60] for label in range(10)]
    return first, second, [list(of_class) for of_class in third]


@pytest.fixture(scope="module")
def halves(digits, places):
    images, labels = digits
    return [Labelled(images[part], labels[part]) for part in map(torch.from_numpy, places[:2])]


@pytest.fixture(scope="module")
def comparison(halves, classifier):
    return ClassComparison(*halves, ALL, classifier)


@pytest.fixture(scope="module")
def fakes(digits, halves, places):
    """Digits of the third set, of the classes that are asked for."""
    unused = [list(of_class) for of_class in places[2]]
    return digits[0][[unused[label].pop() for label in halves[0].labels.tolist()]]


def short(scores):
    return {MetricName.parse(name).metric: score for name, score in scores.items()}


@pytest.fixture(scope="module")
def good(comparison, fakes):
    return short(comparison.score(fakes))


def test_other_reals_as_fakes_come_near_the_ceiling(good):
    assert good["ifid"].fakes.value == pytest.approx(good["ifid"].reals.value, rel=0.3)
    assert good["gan-train"].fakes.value > good["gan-train"].reals.value - 0.08
    for metric in ("gan-train", "gan-test", "class-accuracy"):
        assert good[metric].fakes.value > 0.8
        assert good[metric].reals.value > 0.8
        assert set(good[metric].fakes.classes) == set(range(10))


def test_one_classifier_of_reals_gives_both_ceilings(good):
    assert good["gan-train"].reals == good["gan-test"].reals


def test_the_training_half_itself_has_no_distance_and_teaches_what_reals_teach(comparison, halves):
    found = short(comparison.score(halves[0].images))
    assert found["ifid"].fakes.value == pytest.approx(0, abs=1e-3)
    assert found["gan-train"].fakes == found["gan-train"].reals


def test_shuffled_labels_are_seen_by_every_metric_by_class_and_not_by_fid(
    comparison, halves, fakes, good, classifier
):
    order = torch.randperm(len(fakes), generator=torch.Generator().manual_seed(0))
    shuffled = short(comparison.score(fakes[order]))
    for metric in ("gan-train", "gan-test", "class-accuracy"):
        assert shuffled[metric].fakes.value < 0.3 < good[metric].fakes.value
    for metric in ("ifid", "ikid"):
        assert shuffled[metric].fakes.value > 3 * abs(good[metric].fakes.value)
    fid = [
        evaluate_images([halves[0].images], [images], ["fid"], classifier, count=len(fakes))
        for images in (fakes, fakes[order])
    ]
    assert fid[0] == pytest.approx(fid[1])


def test_a_class_that_the_generator_lacks_is_seen_in_that_class_alone(
    comparison, halves, fakes, good
):
    without = fakes.clone()
    missing = halves[0].labels == 3
    without[missing] = fakes[halves[0].labels == 8][:1].expand(int(missing.sum()), -1, -1, -1)
    found = short(comparison.score(without))
    others = [c for c in range(10) if c != 3]
    for c in others:
        assert found["ifid"].fakes.classes[c] == good["ifid"].fakes.classes[c]
    assert found["ifid"].fakes.classes[3] > 2 * good["ifid"].fakes.classes[3]
    assert found["gan-test"].fakes.classes[3] < 0.2
    assert found["gan-train"].fakes.classes[3] < 0.2


def test_the_same_images_have_the_same_scores(comparison, fakes, good):
    assert short(comparison.score(fakes)) == good


def test_names_say_space_and_count(comparison, fakes):
    count = len(fakes)
    found = list(comparison.score(fakes))
    assert found[0] == f"ifid-classifier-{count}"
    assert found == [f"{metric}-classifier-{count}" for metric in ALL]


def test_what_learns_in_gan_train_does_not_depend_on_the_space(halves, fakes):
    found = ClassComparison(*halves, ["ikid", "gan-train"], PixelSpace((1, 8, 8))).score(fakes)
    assert list(found) == [f"ikid-pixels-{len(fakes)}", f"gan-train-classifier-{len(fakes)}"]


@pytest.mark.parametrize(
    ("metrics", "images", "message"),
    [
        (["class-accuracy"], slice(None), "'pixels' knows none. Take space 'classifier'"),
        (["gan-train"], slice(30), "needs at least 40 images in each half"),
    ],
)
def test_what_cannot_be_computed_is_refused_at_the_start(metrics, images, message, halves):
    parts = [Labelled(half.images[images], half.labels[images]) for half in halves]
    with pytest.raises(ValueError, match=message):
        ClassComparison(*parts, metrics, PixelSpace((1, 8, 8)))


def test_one_class_is_refused(halves, classifier):
    one = [Labelled(half.images, torch.zeros_like(half.labels)) for half in halves]
    with pytest.raises(ValueError, match="at least two classes"):
        ClassComparison(*one, ["ifid"], classifier)


def test_fakes_of_another_number_or_size_are_refused(comparison, fakes):
    for images in (fakes[1:], fakes.repeat(1, 3, 1, 1)):
        with pytest.raises(ValueError, match="one for each class asked for"):
            comparison.score(images)


def test_points_are_right_where_they_lie_nearest_to_the_mode_asked_for():
    centres = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    modes = np.array([0, 0, 1, 1, 2])
    fakes = np.array([[0.1, 0.0], [0.9, 0.0], [1.1, 0.0], [0.1, 0.1], [0.0, 0.9]])
    (name, score), *more = score_modes(fakes, centres[modes], modes, centres, 0.1).items()
    assert (name, more) == ("mode-accuracy-pixels-5", [])
    assert score.fakes.value == pytest.approx(3 / 5)
    assert score.fakes.classes == {0: 1.0, 1: 0.5, 2: 0.0}
    assert score.reals.value == 1
