"""Where memory is short: one line with what to change, and how to go on."""

import re

import pytest

from runs.cli.endings import MEMORY_ADVICE, advice_on_memory
from runs.cli.main import main
from runs.common.hints import hint
from tests.runs.copies import checksum


def test_a_run_that_memory_is_short_for_says_what_to_change_and_goes_on_later(
    own_modules, points_yaml, invoke, without_pictures, tmp_path
):
    import greedy  # the user's module, importable here

    short, whole = tmp_path / "short", tmp_path / "whole"
    mutations = ("--set", "population.mutations=[minimax, 'greedy:greedy']")
    greedy.left = 12
    failed = invoke("train", points_yaml, *mutations, "--output", short)
    assert failed.exit_code == 1
    (message,) = failed.stderr.splitlines()
    assert message.startswith("train failed: memory is short: CUDA out of memory. Tried to")
    assert "population.batch" in message and message.endswith(hint("resume", short))
    fork = hint("train", **{"from": short, "set": "KEY=VALUE"})
    assert f"fork the run: {fork}. Where more memory is free" in message
    greedy.left = 10**6
    assert invoke(
        *("train", "--from", short, "--set", "population.batch=16", "--output", tmp_path / "fork")
    ).exit_code == 0  # fmt: skip
    ends = [
        invoke("resume", short).output,
        invoke("train", points_yaml, *mutations, "--output", whole).output,
    ]
    assert checksum(ends[0]) == checksum(ends[1])


def test_where_memory_is_short_before_a_snapshot_no_fork_is_advised(
    own_modules, points_yaml, invoke, without_pictures, tmp_path
):
    import greedy

    greedy.left = 3
    mutations = ("--set", "population.mutations=[minimax, 'greedy:greedy']")
    failed = invoke("train", points_yaml, *mutations, "--output", tmp_path / "short")
    assert "begin a new run. Where" in failed.stderr and "--from" not in failed.stderr
    assert failed.stderr.rstrip().endswith(hint("resume", tmp_path / "short"))


def test_where_memory_is_short_in_the_first_generation_the_command_is_to_be_given_again(
    own_modules, points_yaml, invoke, without_pictures, tmp_path
):
    import greedy

    greedy.left = 0
    folder = tmp_path / "short"
    mutations = ("--set", "population.mutations=[minimax, 'greedy:greedy']")
    failed = invoke("train", points_yaml, *mutations, "--output", folder)
    assert failed.exit_code == 1 and not folder.exists()
    (message,) = failed.stderr.splitlines()
    assert "population.batch" in message and message.endswith("give the command again")
    assert "resume" not in message


@pytest.mark.parametrize(
    "where", ["runs.evaluation.evaluator.Evaluator.score", "runs.sampling.sampler.Sampler.make"]
)
def test_memory_that_is_short_elsewhere_is_told_of_in_a_line(
    where, points_run, points_yaml, invoke, monkeypatch, tmp_path
):
    def short(*arguments, **options):
        raise MemoryError("Unable to allocate 3 GiB")

    monkeypatch.setattr(where, short)
    if "Evaluator" in where:
        keys = ("evaluation.every=5", "evaluation.metrics=[modes]", "evaluation.count=64")
        options = [part for key in keys for part in ("--set", key)]
        failed = invoke("train", points_yaml, *options, "--output", tmp_path / "run")
    else:
        failed = invoke("sample", points_run[0], "--out", tmp_path / "grid.png")
    assert failed.exit_code == 1
    (message,) = failed.stderr.splitlines()
    advice = "To make less at a time" if "Evaluator" in where else "Lower --count, or write --out"
    assert f"failed: memory is short: Unable to allocate 3 GiB. {advice}" in message


def test_advice_on_memory_names_options_that_the_command_has():
    for name, advice in MEMORY_ADVICE.items():
        options = {text for option in main.commands[name].params for text in option.opts}
        assert set(re.findall(r"--\w+", advice)) <= options, name
    drawn = advice_on_memory("sample", MemoryError("CUDA out of memory"))
    assert drawn.endswith("or take --device cpu")
