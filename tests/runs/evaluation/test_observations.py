"""What was observed of real images, in the cache."""

import numpy as np
import pytest
import torch

from fitness.evaluation import evaluate_images
from fitness.features.base import FeatureSpace
from runs.evaluation.observations import observe_cached
from runs.evaluation.statistics_file import load_statistics


class Counting(FeatureSpace):
    """Mean colours."""

    def __init__(self) -> None:
        super().__init__("counting", 3, "id", classes=3)

    def embed(self, images):
        features = images.float().mean(dim=(2, 3)) / 255
        return features, features


def colours(count, seed=0, side=12):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def test_a_cached_observation_is_read_instead_of_the_images(cache):
    def read(metrics, batches, space):
        return observe_cached(batches, space, metrics, 40, data="data's hash")

    space = Counting()
    first = read(["fid"], [colours(40)], space)
    assert first.features is None
    both = read(["kid"], [colours(40)], space)  # the cache lacks features: gathered, kept with fid
    assert both.has == {"statistics", "features"}
    again = read(["fid", "kid"], [], space)
    assert torch.equal(again.features, both.features)
    assert np.array_equal(again.statistics.covariance, first.statistics.covariance)
    assert (again.shape, again.count) == ((3, 12, 12), 40)
    assert len(list(cache.iterdir())) == 1
    fake = [colours(40, 1)]
    assert evaluate_images(again, fake, ["fid", "prdc"], space, count=40) == evaluate_images(
        both, fake, ["fid", "prdc"], space, count=40
    )


def test_other_data_sizes_weights_or_counts_have_other_cached_files(cache):
    space, other = Counting(), Counting()
    other.identity = "other weights"
    for data, count, which in (("a", 40, space), ("b", 40, space), ("a", 30, space)):
        observe_cached([colours(40)], which, ["fid"], count, data=data)
    observe_cached([colours(40)], other, ["fid"], 40, data="a")
    for side in (12, 16):
        observe_cached(
            [colours(40, side=side)],
            space,
            ["fid"],
            40,
            shape=(3, side, side),
            data="a",
        )
    assert len(list(cache.iterdir())) == 6


def test_a_cached_file_is_statistics_for_other_tools_too(cache):
    seen = observe_cached([colours(40)], Counting(), ["fid"], 40, data="a")
    (path,) = cache.iterdir()
    found = load_statistics(path, space="counting")
    assert np.array_equal(found.covariance, seen.statistics.covariance)


def test_a_damaged_cached_file_is_told_of_and_made_again(cache, caplog):
    observe_cached([colours(40)], Counting(), ["fid"], 40, data="a")
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    observe_cached([colours(40)], Counting(), ["fid"], 40, data="a")
    assert path.read_bytes() == whole
    assert f"the cached file {path} cannot be used" in caplog.text


def test_an_interrupted_observation_leaves_no_file(cache):
    with pytest.raises(ValueError, match="only 30 arrived"):
        observe_cached([colours(30)], Counting(), ["fid"], 40, data="a")
    assert not cache.exists()
