"""Whole tournaments, tiny ones, in this process; stopped and changed in every way."""

import json
import shutil

import pytest

from populations.selection import NoFiniteChild
from runs.common.errors import ConfigError
from runs.config.loading import load_config
from runs.sampling.opening import sample
from runs.store.folder import RunFolder
from runs.store.journal import Entry, read_journal
from runs.store.lines import seal
from runs.tournament import running
from runs.tournament.config import parse_tournament
from runs.tournament.crew import OneProcess
from runs.tournament.history import read_history
from runs.tournament.inspection import inspect_tournament, render
from runs.tournament.islands import TournamentFolder, config_of, generations
from runs.tournament.progress import SilentTournament
from runs.tournament.record import read_lines
from runs.tournament.report import write_report
from runs.tournament.running import run_tournament
from runs.tournament.schedule import plan_of, steps_of_generation
from runs.tournament.worker import Stopped

LOCAL = {"executor": "local", "device": "cpu"}


def play(tournament, path):
    return run_tournament(tournament, path, SilentTournament(), execution=LOCAL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_text):
    """A tournament that was left alone, and its folder."""
    path = tmp_path_factory.mktemp("whole")
    tournament = parse_tournament(tiny_text, "tiny.yaml", path)
    return tournament, play(tournament, path / "t")


def test_a_tournament_ends_with_a_winner_that_can_be_sampled_and_trained(whole):
    tournament, result = whole
    folder = TournamentFolder(result.path)
    assert result.finished and result.winner.is_relative_to(result.path)
    assert sample(result.winner, 5).shape == (5, 2)
    winner = load_config(folder.winner)
    genes = result.values["genes"]
    assert winner.optimizer.learning_rate == genes["optimizer.learning_rate"]
    assert winner.data == tournament.base.data and winner.seed == tournament.base.seed
    assert set(result.values["metrics"]) == {"modes-pixels-100", "kl-pixels-100"}


def test_every_islands_steps_are_within_what_is_charged(whole):
    tournament, result = whole
    plan = plan_of(tournament.config, tournament.base)
    folder = TournamentFolder(result.path)
    lines = read_lines(folder.decisions)
    taken = 0
    for course in read_history(folder).courses:
        life = course.life
        run = folder.life(life.name)
        count = sum(isinstance(line, Entry) for line in read_journal(run.journal))
        taken += count * steps_of_generation(run.load_config())
    judged = sum(len(line.table) for line in lines) + 2
    spent = lines[-1].spent
    assert taken + judged * plan.judgement <= spent <= tournament.config.steps
    assert taken + judged * plan.judgement > 0.9 * spent
    assert result.values["spent"]["steps"] == spent


def test_a_copy_begins_with_the_whole_state_of_its_parent(whole):
    _, result = whole
    folder = TournamentFolder(result.path)
    lines = read_lines(folder.decisions)
    tables = {name: judged for line in lines for name, judged in line.table.items()}
    at = {(n, j.generation): j.checksum for line in lines for n, j in line.table.items()}
    lives = [course.life for course in read_history(folder).courses]
    copies = [life for life in lives if life.parent is not None]
    assert copies
    for life in copies:
        identity = folder.life(life.name).load_identity()
        name = identity.parent.folder.rpartition("/")[2]
        if not life.kept:
            assert identity.parent.checksum == at[name, life.generation]
        assert life.name in tables or life is copies[-1]


def test_the_last_ones_rates_fall_to_the_end_of_the_stage(whole):
    tournament, result = whole
    plan = plan_of(tournament.config, tournament.base)
    lives = [course.life for course in read_history(TournamentFolder(result.path)).courses]
    life = next(life for life in lives if life.decays and not life.kept)
    config = config_of(tournament, plan, life)
    first = config.optimizer.learning_rate
    shown = [g * config.discriminator.updates * config.population.batch
             for g in (life.generation, config.generations)]  # fmt: skip
    assert config.optimizer.at(shown[0]).learning_rate == pytest.approx(first)
    assert config.optimizer.at(shown[1]).learning_rate == pytest.approx(0.02 * first)
    assert config.generations - life.generation == sum(generations(plan, config, life.round))


class Stopping(OneProcess):
    """Stops before its n-th request, counted over all of them; the last answer comes first."""

    left = 10**9

    def work(self, requests, watcher):
        answers = {}
        for request in requests:
            Stopping.left -= 1
            if Stopping.left < 0:
                raise Stopped("SIGTERM")
            answers = super().work([request], watcher) | answers
        return answers


def test_a_tournament_that_is_stopped_at_every_request_ends_in_the_same_files(
    whole, tmp_path, monkeypatch
):
    tournament, result = whole
    monkeypatch.setattr(running, "OneProcess", Stopping)
    again, stops = None, 0
    while again is None or not again.finished:
        Stopping.left = 1  # every process gets one request further
        again = play(tournament, tmp_path / "t") if stops % 3 else _lame(tournament, tmp_path / "t")
        stops += 1
        if stops > 60:
            Stopping.left = 10**9
    for name in ("decisions.jsonl", "result.json", "winner.yaml", "tournament.yaml"):
        assert (tmp_path / "t" / name).read_bytes() == (result.path / name).read_bytes()
    assert tree(tmp_path / "t") == tree(result.path)


def _lame(tournament, path):
    """Play with requests enough for a round, so that the tournament comes to an end."""
    Stopping.left = 3
    return play(tournament, path)


def tree(path):
    """The files of a tournament, without locks."""
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.suffix != ".lock")


def test_a_process_killed_while_it_makes_forks_is_made_good(whole, tmp_path, monkeypatch):
    tournament, result = whole
    path = tmp_path / "t"
    create, left = RunFolder.create.__func__, [1]  # of the two islands

    def dying(cls, *args, **more):
        left[0] -= 1
        if left[0] < 0:
            raise MemoryError("killed")
        return create(cls, *args, **more)

    monkeypatch.setattr(RunFolder, "create", classmethod(dying))
    for _ in range(20):
        try:
            play(tournament, path)
            break
        except MemoryError:
            left[0] = 1
    assert (path / "result.json").read_bytes() == (result.path / "result.json").read_bytes()
    assert (path / "decisions.jsonl").read_bytes() == (result.path / "decisions.jsonl").read_bytes()


def test_a_finished_tournament_is_not_played_again(whole):
    tournament, result = whole
    assert play(tournament, result.path).values == result.values


def test_another_tournament_and_other_files_are_refused(whole, tiny, tmp_path):
    _, result = whole
    with pytest.raises(ConfigError, match="another config"):
        play(tiny(steps="700"), result.path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds no tournament"):
        play(tiny(), tmp_path / "other")


def test_a_changed_record_is_refused_before_anything_trains(whole, tmp_path):
    tournament, result = whole
    shutil.copytree(result.path, tmp_path / "t")
    (tmp_path / "t" / "result.json").unlink()
    record = tmp_path / "t" / "decisions.jsonl"
    text = record.read_text().splitlines(keepends=True)
    values = json.loads(text[0])
    del values["crc"]
    values["decided"]["dropped"] = ["00.0"]
    record.write_text("".join([seal(values), *text[1:]]))
    with pytest.raises(ConfigError, match="was changed"):
        play(tournament, tmp_path / "t")


def test_inspect_shows_islands_genes_ancestry_and_the_winner(whole, capsys):
    _, result = whole
    found = inspect_tournament(result.path)
    json.dumps(found, allow_nan=False)
    assert found["steps"]["spent"] == found["steps"]["all"] and found["computing_left"] is None
    names = [island["name"] for island in found["islands"]]
    assert names[:2] == ["00.0", "01.0"] and "copied over" in {i["state"] for i in found["islands"]}
    for island in found["islands"][2:]:
        parent = next(other for other in found["islands"] if other["name"] == island["parent"])
        assert island["root"] == parent["root"]
    render(found)
    said = capsys.readouterr().out
    assert all(name in said for name in names)
    assert f"winner: {result.values['island']}" in said


def test_inspect_tells_what_is_left_while_a_tournament_goes_on(whole, tmp_path):
    _, result = whole
    shutil.copytree(result.path, tmp_path / "t")
    (tmp_path / "t" / "result.json").unlink()
    record = tmp_path / "t" / "decisions.jsonl"
    record.write_text("".join(record.read_text().splitlines(keepends=True)[:1]))
    found = inspect_tournament(tmp_path / "t")
    assert found["rounds"]["done"] == 1 and found["computing_left"] > 0


def test_the_report_is_one_page_without_network(whole):
    _, result = whole
    page = write_report(result.path).read_text()
    assert "http" not in page and page.count("data:image/png;base64,") == 3
    for said in ("optimizer.betas.0", f"island {result.values['island']}", "learning_rate:"):
        assert said in page


BURNING = "{optimizer.discriminator_learning_rate: {choices: [1.0e+29, 1.0e+30]}}"


def test_an_island_that_diverges_is_the_worst_and_the_tournament_goes_on(tiny, tmp_path):
    """The first island has the base's own rate; all others diverge."""
    result = play(tiny(genes=BURNING, count="4", steps="500"), tmp_path / "t")
    assert result.finished and result.values["island"].startswith("00.")
    first = read_lines(TournamentFolder(result.path).decisions)[0]
    assert [bool(judged.failure) for judged in first.table.values()] == [False, True, True, True]
    assert "Diverged" in first.table["01.0"].failure
    assert inspect_tournament(result.path)["islands"][1]["fitness"] is None
    write_report(result.path)


def test_a_tournament_whose_islands_all_fail_says_so_and_can_be_asked_again(tiny, tmp_path):
    burning = tiny(genes=BURNING)
    optimizer = burning.base.optimizer.model_copy(update={"discriminator_learning_rate": 1e30})
    base = burning.base.model_copy(update={"optimizer": optimizer})
    burning = type(burning)(burning.config, base)
    for _ in range(2):
        with pytest.raises(NoFiniteChild, match=r"no island of .* can go on: Diverged"):
            play(burning, tmp_path / "t")


def test_images_are_judged_on_some_that_are_not_trained_on(tiny, tmp_path):
    base = (
        "{data: {source: digits, resolution: 8}, backbone: {name: dcgan, latent: 4, width: 4}, "
        "population: {batch: 8, mutations: [heuristic]}, fitness: {batch: 8}, generations: 30, "
        "execution: {executor: local}, tracking: {enabled: false}, "
        "evaluation: {every: 10, metrics: [kid], space: pixels, count: 20}}"
    )
    judge = "{samples: 16, reals: 30, space: pixels}"
    result = play(tiny(base=base, steps="100", genes="near", judge=judge), tmp_path / "t")
    assert result.finished and set(result.values["metrics"]) == {"kid-pixels-20"}
    run = RunFolder(result.winner)
    assert run.load_config().data.held_out == 40
    assert run.load_data().length == 1797 - 40
    assert load_config(TournamentFolder(result.path).winner).data.held_out == 0
    assert sample(result.winner, 3).shape == (3, 8, 8, 1)
