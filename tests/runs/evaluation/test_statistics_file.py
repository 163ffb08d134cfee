"""Files of statistics: ours, pytorch-fid's, and damaged ones."""

import numpy as np
import pytest
import torch

from fitness.statistics import RunningStatistics, Statistics
from runs.evaluation.statistics_file import load_statistics, save_statistics


def statistics(features, space="pixels", identity="a", shape=None) -> Statistics:
    running = RunningStatistics(features.shape[1])
    running.update(features)
    return running.finish(space, identity, shape)


def test_a_file_is_read_back_whole(tmp_path):
    made = statistics(torch.eye(3), shape=(1, 8, 8))
    save_statistics(made, tmp_path / "s.npz")
    found = load_statistics(tmp_path / "s.npz", space="pixels")
    assert np.array_equal(found.mean, made.mean)
    assert np.array_equal(found.covariance, made.covariance)
    assert (found.space, found.identity, found.count, found.shape) == ("pixels", "a", 3, (1, 8, 8))


def test_a_foreign_file_is_read_when_its_space_is_stated(tmp_path):
    np.savez(tmp_path / "s.npz", mu=np.ones(2, np.float32), sigma=np.eye(2))
    found = load_statistics(tmp_path / "s.npz", space="inception")
    assert (found.space, found.identity, found.count, found.shape) == (
        "inception",
        None,
        None,
        None,
    )
    assert found.mean.dtype == np.float64
    with pytest.raises(ValueError, match="does not say its feature space; state it"):
        load_statistics(tmp_path / "s.npz")


def test_a_file_of_another_space_than_stated_is_refused(tmp_path):
    save_statistics(statistics(torch.eye(3)), tmp_path / "s.npz")
    with pytest.raises(ValueError, match=r"s\.npz holds statistics of space 'pixels'"):
        load_statistics(tmp_path / "s.npz", space="inception")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": np.ones(2)}, "lacks 'sigma'"),
        ({"mu": np.ones(2), "sigma": np.eye(3)}, r"\(2,\) and \(3, 3\) arrived"),
        ({"mu": np.array([0, np.nan]), "sigma": np.eye(2)}, "NaN"),
        ({"mu": np.array([None, {}]), "sigma": np.eye(2)}, "cannot be read"),
    ],
)
def test_a_file_without_usable_statistics_is_named(tmp_path, arrays, message):
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(ValueError, match=rf"s\.npz.*{message}"):
        load_statistics(tmp_path / "s.npz", space="pixels")


@pytest.mark.parametrize("keep", [0, 10, -10])
def test_a_cut_file_is_named(tmp_path, keep):
    path = tmp_path / "s.npz"
    save_statistics(statistics(torch.eye(3)), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"s\.npz cannot be read"):
        load_statistics(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"s\.npz cannot be read"):
        load_statistics(tmp_path / "s.npz")
