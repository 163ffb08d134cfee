"""Runs whose rates and penalties change as they go: resumed, made longer or forked, same bits."""

import pytest

from tests.runs.copies import checksum, interrupted, no_pictures

pytestmark = pytest.mark.usefixtures("without_pictures")
SCHEDULES = (  # 8 images a generation: they end after generation 40
    *("--set", "optimizer.decay={after: .08, over: .24, shape: cosine}"),
    *("--set", "optimizer.betas=[0, {from: .9, to: .99, over: .32}]"),
    *("--set", "discriminator.r1={from: 1, to: .1, over: .32}"),
)


@pytest.fixture(scope="module")
def runs(points_yaml, invoke, tmp_path_factory):
    """The folder of a run of 30 generations, and the checksum of one of 40."""
    folder = tmp_path_factory.mktemp("scheduled")
    sums = []
    for generations in (30, 40):
        with no_pictures():
            done = invoke(
                *("train", points_yaml, "--output", folder / str(generations), *SCHEDULES),
                *("--set", f"generations={generations}"),
            )
        assert done.exit_code == 0, done.output
        sums.append(checksum(done.output))
    return folder / "30", *sums


def test_resumed_it_ends_in_the_same_bits(runs, invoke, tmp_path):
    done = invoke("resume", interrupted(runs[0], tmp_path, 17))
    assert done.exit_code == 0 and checksum(done.output) == runs[1]


def test_made_longer_it_goes_on_as_if_it_had_been_so_from_the_start(runs, invoke, tmp_path):
    """Also where generations are made again that the journal has and no snapshot."""
    folder = interrupted(runs[0], tmp_path, 27)
    done = invoke("resume", folder, "--generations", 40)
    assert done.exit_code == 0 and checksum(done.output) == runs[2]


def test_a_fork_with_more_generations_goes_on_with_the_schedule(runs, invoke, tmp_path):
    done = invoke(
        *("train", "--from", f"{runs[0]}@20", "--set", "generations=40"),
        *("--output", tmp_path / "fork"),
    )
    assert done.exit_code == 0 and checksum(done.output) == runs[2]


def test_a_fork_may_begin_a_decay(runs, invoke, tmp_path):
    done = invoke(
        *("train", "--from", f"{runs[0]}@20", "--set", "generations=40"),
        *("--set", "optimizer.decay={after: .16, over: .08}", "--output", tmp_path / "fork"),
    )
    assert done.exit_code == 0 and checksum(done.output) != runs[2]
