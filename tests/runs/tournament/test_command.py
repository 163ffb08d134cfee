"""The command, as far as it goes without a process."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from runs.cli.main import main
from runs.cli.tournaments import show
from runs.common.hints import hint
from runs.tournament.config import load_tournament


def said(*arguments):
    result = CliRunner().invoke(main, ["tournament", *map(str, arguments)])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gaussians25-worse"], "no preset 'gaussians25-worse'"),
        (["gaussians25-bad", "--count", "12"], "count: 12 cannot be halved"),
        (["gaussians25-bad", "--set", "genes=far"], "no prior 'far'"),
        (["gaussians25-bad", "--set", "schedule.nme=halving"], "schedule.nme: unknown key"),
        (["gaussians25-bad", "--set", "optimizer.rate=1"], "optimizer.rate: unknown key"),
        (["gaussians25-bad", "--set", "steps=1000"], "too few for 16 islands"),
        (["gaussians25-bad", "--set", "genes={seed: {log: 1}}"], "genes.seed: cannot be a gene"),
    ],
)
def test_a_mistake_is_one_clear_line_and_leaves_nothing(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, output = said(*arguments)
    assert (status, message in output) == (2, True), output
    assert "Traceback" not in output and not list(tmp_path.iterdir())


def test_a_tournament_that_was_begun_takes_no_other_options(tiny, tmp_path):
    (tmp_path / "tournament.yaml").write_text(tiny().to_yaml())
    status, output = said(tmp_path, "--seed", 1)
    assert status == 2 and "takes no options but --at-once" in output


def test_keys_of_the_tournament_and_of_its_base_are_told_apart():
    found = load_tournament(
        "gaussians25-bad",
        ["schedule.interval=500", "optimizer.learning_rate=0.01", "genes={fitness.gamma: [0, 1]}"],
        count=4,
        seed=7,
    )
    assert found.config.schedule.interval == 500 and found.config.count == 4
    assert (found.base.seed, found.base.optimizer.learning_rate) == (7, 0.01)
    assert found.prior["fitness.gamma"].choices == (0, 1)


def test_a_tournaments_file_is_read_as_it_was_written(tiny, tmp_path):
    tournament = tiny(
        genes="{optimizer.betas.0: {linear: 0.1, high: 0.9}, fitness.gamma: {log: 1, from: [1]}}",
        judge="{samples: 99}",
        schedule="{final_rate: null, interval: 7}",
    )
    file = tmp_path / "again.yaml"
    file.write_text(tournament.to_yaml())
    again = load_tournament(file)
    assert again.config.schedule.final_rate is None
    assert again.config.model_dump(exclude={"base"}) == tournament.config.model_dump(
        exclude={"base"}
    )
    assert again.base == tournament.base


def test_the_commands_that_end_a_tournament_are_whole(capsys, tmp_path):
    values = {"island": "01.0", "generation": 9, "chosen": "final", "checksum": "c", "genes": {},
              "metrics": {}, "spent": {"steps": 9}}  # fmt: skip
    show(SimpleNamespace(path=tmp_path, winner=tmp_path / "a b", finished=True, values=values))
    assert hint("sample", tmp_path / "a b", out="grid.png") in capsys.readouterr().out


@pytest.mark.parametrize("genes", ["near", "wide"])
def test_a_translator_is_no_base_of_a_tournament(mistake, genes, tmp_path):
    said = mistake("tournament", "pix2pix-emoji", "--set", f"genes={genes}", "--output", tmp_path)
    assert "backbone.name: unet translates images" in said and said.count("\n") == 1
