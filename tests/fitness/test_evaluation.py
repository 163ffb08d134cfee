import numpy as np
import pytest
import torch

from fitness.comparison import evaluate_mixture
from fitness.evaluation import evaluate_images
from fitness.features.base import FeatureSpace
from fitness.features.pixels import PixelSpace
from fitness.metrics.names import METRICS, MetricName
from fitness.observation import Observation, observe, observe_real
from fitness.statistics import Statistics

SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def pixels() -> FeatureSpace:
    return PixelSpace(SHAPE)


def scores(real, fake, metrics, space, count=800, **options):
    """Values by short name."""
    found = evaluate_images(
        real.split(100), fake.split(130), metrics, space, count=count, **options
    )
    return {MetricName.parse(name).metric: value for name, value in found.items()}


# Meaning: what must happen to the scores when a known fault is put into the images.


@pytest.mark.parametrize("space", ["pixels", "classifier"])
def test_identical_sets_score_ideal(space, digits, request):
    images = digits[0]
    found = scores(images, images, ["fid", "prdc"], request.getfixturevalue(space))
    assert found["fid"] == pytest.approx(0, abs=1e-4)
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    assert found["density"] > 1


@pytest.mark.parametrize("space", ["pixels", "classifier"])
def test_a_disjoint_half_of_the_same_data_scores_well(space, digits, request):
    images = digits[0]
    found = scores(images[:800], images[800:1600], ["kid", "prdc"], request.getfixturevalue(space))
    assert abs(found["kid"]) < 0.01
    assert min(found["precision"], found["recall"], found["coverage"]) > 0.85


@pytest.mark.parametrize("space", ["pixels", "classifier"])
def test_dropped_classes_lower_recall_and_coverage_and_keep_precision(space, digits, request):
    images, labels = digits
    space = request.getfixturevalue(space)
    real, other, kept = images[:800], images[800:], labels[800:] < 5
    whole = scores(real, other[:450], ["fid", "kid", "prdc"], space, 450, real_count=800)
    dropped = scores(real, other[kept], ["fid", "kid", "prdc"], space, 450, real_count=800)
    assert dropped["precision"] > whole["precision"] - 0.03
    assert dropped["recall"] < whole["recall"] - 0.2
    assert dropped["coverage"] < whole["coverage"] - 0.2
    assert dropped["fid"] > 2 * whole["fid"]
    assert dropped["kid"] > 10 * abs(whole["kid"])


def test_noise_lowers_precision_and_density(pixels, digits):
    images = digits[0]
    generator = torch.Generator().manual_seed(0)
    noise = 60 * torch.randn(images[800:1600].shape, generator=generator)
    noisy = (images[800:1600] + noise).clamp(0, 255).to(torch.uint8)
    clean = scores(images[:800], images[800:1600], ["fid", "prdc"], pixels)
    found = scores(images[:800], noisy, ["fid", "prdc"], pixels)
    assert found["precision"] < clean["precision"] - 0.3
    assert found["density"] < clean["density"] - 0.3
    assert found["fid"] > 2 * clean["fid"]


def test_a_hundred_real_images_repeated_are_caught_by_coverage_though_fid_looks_good(
    pixels, digits
):
    images = digits[0]
    generator = torch.Generator().manual_seed(0)
    noise = 40 * torch.randn((800, *SHAPE), generator=generator)
    noisy = (images[800:1600] + noise).clamp(0, 255).to(torch.uint8)
    repeated = images[900:1000].repeat(8, 1, 1, 1)
    found = scores(images[:800], repeated, ["fid", "prdc"], pixels)
    clean = scores(images[:800], images[800:1600], ["prdc"], pixels)
    assert found["fid"] < scores(images[:800], noisy, ["fid"], pixels)["fid"]
    assert found["precision"] >= clean["precision"]
    assert found["density"] >= clean["density"]
    assert found["coverage"] < 0.6 * clean["coverage"]


def test_inception_score_falls_with_dropped_classes(classifier, digits):
    images, labels = digits
    whole = scores(images, images, ["is"], classifier)["is"]
    half = scores(images, images[labels < 5], ["is"], classifier)["is"]
    assert half < 5.5 < whole < 10


def test_more_noise_is_a_greater_discrepancy(pixels, digits):
    images = digits[0]
    generator = torch.Generator().manual_seed(0)
    values = []
    for level in (0, 30, 90):
        noise = level * torch.randn(images[800:1600].shape, generator=generator)
        noisy = (images[800:1600] + noise).clamp(0, 255).to(torch.uint8)
        values.append(scores(images[:800], noisy, ["mmd"], pixels)["mmd"])
    assert values[0] < 0.001 < values[1] < values[2]


# Use: one pass, names, determinism, caches, errors.


class Counting(FeatureSpace):
    """Mean colours; counts the images that it embeds and the largest batch."""

    def __init__(self) -> None:
        super().__init__("counting", 3, "id", classes=3)
        self.seen = 0

    def embed(self, images):
        self.seen += len(images)
        features = images.float().mean(dim=(2, 3)) / 255
        return features, features


def colours(count, seed=0, side=12):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


ALL = ["fid", "kid", "mmd", "prdc", "is", "ssim"]


def test_all_metrics_share_one_pass_over_each_side():
    space = Counting()
    found = evaluate_images(
        colours(90).split(20), colours(90, 1).split(50), ALL, space, count=60, real_count=80
    )
    assert space.seen == 60 + 80
    assert list(found) == [
        "fid-counting-60-vs-80",
        "kid-counting-60-vs-80",
        "mmd-counting-60-vs-80",
        "precision-counting-60-vs-80",
        "recall-counting-60-vs-80",
        "density-counting-60-vs-80",
        "coverage-counting-60-vs-80",
        "is-counting-60",
        "ssim-pixels-60",
    ]


def test_only_as_many_images_as_asked_are_taken_from_a_stream():
    def endless():
        while True:
            yield colours(16)

    assert evaluate_images(endless(), endless(), ["kid"], Counting(), count=20)


def test_similarity_alone_embeds_nothing_and_needs_no_real_images():
    space = Counting()
    assert evaluate_images(None, [colours(10)], ["ssim"], space, count=10)
    assert space.seen == 0


def test_fid_alone_keeps_no_features():
    seen = observe([colours(50)], Counting(), 50, {"statistics"})
    assert seen.features is None
    assert seen.has == {"statistics"}


def test_the_seed_decides_the_score():
    def found(seed):
        return evaluate_images(None, [colours(40)], ["is", "ssim"], Counting(), count=40, seed=seed)

    assert found(1) == found(1) != found(2)


def test_progress_tells_the_stage_and_ends():
    calls = []
    evaluate_images(
        colours(30).split(10),
        colours(30, 1).split(10),
        ["fid"],
        Counting(),
        count=30,
        progress=lambda *call: calls.append(call),
    )
    assert calls == [
        *(("real images", n, 30) for n in (10, 20, 30)),
        *(("generated images", n, 30) for n in (10, 20, 30)),
        ("metrics", 0, 1),
        ("metrics", 1, 1),
    ]


def test_an_observation_of_the_real_images_serves_many_evaluations():
    space, fake = Counting(), colours(40, 1)
    direct = evaluate_images([colours(50)], [fake], ALL, space, count=40, real_count=50)
    real = observe_real([colours(50)], space, ALL, 50)
    assert evaluate_images(real, [fake], ALL, space, count=40) == direct


def test_foreign_statistics_serve_fid_and_the_name_says_so():
    space = Counting()
    ours = observe_real([colours(50)], space, ["fid"], 50).statistics
    arrays = {"mu": ours.mean, "sigma": ours.covariance}
    foreign = Statistics.from_arrays(arrays, "foreign.npz", space="counting")
    fake = [colours(40, 1)]
    (value,) = evaluate_images(ours, fake, ["fid"], space, count=40).values()
    assert evaluate_images(foreign, fake, ["fid"], space, count=40) == {
        "fid-counting-40-vs-file": value
    }
    with pytest.raises(ValueError, match="kid need the real images' features"):
        evaluate_images(foreign, fake, ["fid", "kid"], space, count=40)


def test_statistics_of_another_space_are_refused_before_any_image_is_read(pixels):
    real = observe_real([colours(50)], Counting(), ["fid"], 50)

    def unread():
        raise AssertionError("read")
        yield

    for given in (real, real.statistics):
        with pytest.raises(ValueError, match=r"'counting'.*'pixels'"):
            evaluate_images(given, unread(), ["fid"], pixels, count=40)


def test_real_images_that_are_all_alike_are_refused_for_mmd_before_any_is_generated():
    alike = observe_real([colours(1).expand(50, -1, -1, -1)], Counting(), ["mmd"], 50)

    def unread():
        raise AssertionError("read")
        yield

    with pytest.raises(ValueError, match="all real features are equal"):
        evaluate_images(alike, unread(), ["mmd"], Counting(), count=40)


def test_a_part_that_was_not_observed_is_named():
    real = observe_real([colours(50)], Counting(), ["fid"], 50)
    with pytest.raises(ValueError, match="not observed for precision"):
        evaluate_images(real, [colours(40)], ["fid", "precision"], Counting(), count=40)


def _nan(space):
    space.embed = lambda images: (torch.full((len(images), 3), torch.nan), None)
    return space


@pytest.mark.parametrize(
    ("real", "fake", "metrics", "count", "message"),
    [
        (colours(50), colours(39), ["fid"], 40, "generated images: .* 40 images and only 39"),
        (colours(39), colours(50), ["fid"], 40, "real images: .* 40 images and only 39"),
        (colours(50), colours(50, side=13), ["fid"], 40, r"generated .*\(3, 13, 13\).*\(3, 12, 12"),
        (colours(50), colours(50)[:, :1], ["fid"], 40, r"\(1, 12, 12\) arrived; \(3, 12, 12\)"),
        (colours(50), colours(50).float(), ["fid"], 40, "torch.float32"),
        (colours(50), colours(50), ["fid", "kdi"], 40, "did you mean 'kid'"),
        (colours(50), colours(50), ["prdc"], 5, "'precision' needs at least 6 images; count is 5"),
        (colours(50), colours(50), ["modes"], 40, "evaluate_mixture"),
        (colours(50), colours(50, side=8), ["ssim"], 40, "at least 11 x 11"),
        (colours(50), colours(50), ["ms-ssim"], 40, "at least 176 x 176"),
    ],
)
def test_what_cannot_be_scored_is_refused(real, fake, metrics, count, message):
    with pytest.raises(ValueError, match=message):
        evaluate_images(real.split(20), fake.split(20), metrics, Counting(), count=count)


def test_real_images_are_asked_for_where_they_are_needed():
    with pytest.raises(ValueError, match=r"^fid compare with real images; none were given"):
        evaluate_images(None, [colours(40)], ["is", "fid"], Counting(), count=40)


def test_a_space_without_logits_has_no_inception_score(pixels):
    with pytest.raises(ValueError, match="'is' needs a classifier's logits, which space 'pixels'"):
        evaluate_images(None, [colours(40)], ["is"], pixels, count=40)


def test_features_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="20 of 20 images have NaN"):
        evaluate_images([colours(40)], colours(40).split(20), ["kid"], _nan(Counting()), count=20)


def test_a_mixtures_scores_are_named_with_their_count():
    centres = np.array([[0.0, 0.0], [5.0, 5.0]])
    found = evaluate_mixture(np.zeros((2500, 2)), centres, 0.1)
    assert found == {
        "modes-pixels-2500": 1.0,
        "high-quality-pixels-2500": 1.0,
        "kl-pixels-2500": pytest.approx(np.log(2)),
        "overlap-pixels-2500": 1 / 32,  # of the 16 cells of two modes, one
    }


def test_points_of_a_mixture_can_be_compared_by_every_metric_of_features():
    rng = np.random.default_rng(0)
    real, fake = (torch.from_numpy(rng.normal(size=(300, 2))).float() for _ in range(2))
    space = PixelSpace((2,))
    found = scores(real, fake, ["fid", "kid", "mmd", "prdc"], space, 300)
    assert found["fid"] < 0.1
    assert found["coverage"] > 0.9


def test_every_metric_of_images_can_be_computed(digits, classifier):
    others = ("points", "pairs", "latents", "classes", "targets", "parts")
    of_images = [m.name for m in METRICS.values() if m.need not in others]
    found = scores(digits[0], digits[0], of_images, classifier, 100)
    assert list(found) == of_images
    assert all(np.isfinite(value) for value in found.values())
    large = colours(10, side=176)
    similar = evaluate_images(None, [large], ["ssim", "ms-ssim"], Counting(), count=10)
    assert list(similar) == ["ssim-pixels-10", "ms-ssim-pixels-10"]


def test_an_observation_says_what_it_has():
    assert Observation("pixels", "id", SHAPE, 3, features=torch.ones(3, 64)).has == {"features"}
