"""A run whose augmentation adapts: its strength is in the snapshots, and the bits are kept."""

import os
import signal

import pytest

from runs.store.journal import Entry, read_journal
from tests.runs.copies import checksum, interrupted, no_pictures

pytestmark = pytest.mark.usefixtures("without_pictures")
ADA = (
    *("--set", "discriminator.augment=ada", "--set", "discriminator.augment_kimg=.1"),
    *("--set", "discriminator.augment_target=-1", "--set", "generations=9"),
)


@pytest.fixture(scope="module")
def whole(images_yaml, invoke, tmp_path_factory):
    """A run of 9 generations that was never stopped, and its checksum."""
    folder = tmp_path_factory.mktemp("ada") / "run"
    with no_pictures():
        done = invoke("train", images_yaml, *ADA, "--output", folder)
    assert done.exit_code == 0, done.output
    return folder, checksum(done.output)


def strengths(folder):
    """Return the strength in each generation, as the journal has it: one line later."""
    lines = [line for line in read_journal(folder / "journal.jsonl") if isinstance(line, Entry)]
    return [line.training["augment_strength"] for line in lines[1:]]


def test_the_journal_tells_the_strength(whole):
    # D is surer of reals than -1, so that each 8 of 100 images add to it.
    assert strengths(whole[0]) == pytest.approx([0.08 * n for n in range(8)])


def test_resumed_it_ends_in_the_same_bits(whole, invoke, tmp_path):
    folder = interrupted(whole[0], tmp_path, 6)  # a snapshot at 4, and a replay of two
    done = invoke("resume", folder)
    assert done.exit_code == 0 and checksum(done.output) == whole[1]
    assert strengths(folder) == strengths(whole[0])


def test_a_fork_goes_on_with_the_strength(whole, invoke, tmp_path):
    done = invoke("train", "--from", f"{whole[0]}@4", "--output", tmp_path / "fork")
    assert done.exit_code == 0 and checksum(done.output) == whole[1]


def test_killed_it_ends_in_the_same_bits(whole, images_yaml, start, invoke, until_lines, tmp_path):
    folder = tmp_path / "run"
    process = start("train", images_yaml, *ADA, "--output", folder)
    until_lines(process, folder, 5)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = invoke("resume", folder)
    assert done.exit_code == 0 and checksum(done.output) == whole[1]
