import math

import pytest

from runs.common.errors import ConfigError
from runs.config.loading import load_config
from runs.store.lines import seal
from runs.tournament.config import Tournament, TournamentConfig
from runs.tournament.decisions import Judged, decide, first_standing
from runs.tournament.priors import wide
from runs.tournament.record import Line, append, check, read_lines
from runs.tournament.schedule import plan_of

BASE = load_config("gaussians25-bad")
TOURNAMENT = Tournament(TournamentConfig(base={}, count=4, genes=wide(BASE)), BASE)
PLAN = plan_of(TOURNAMENT.config, BASE)


@pytest.fixture
def lines(tmp_path):
    """Two rounds, written down."""
    standing, found = first_standing(TOURNAMENT, PLAN), []
    for number in range(2):
        fitness = [0.1, 0.3, math.inf, 0.2]
        table = {
            life.name: Judged(number, "c", value, "gone" if math.isinf(value) else None)
            for life, value in zip(standing.living, fitness, strict=True)
        }
        decision = decide(TOURNAMENT, PLAN, number, standing, table)
        standing = decision.standing
        line = Line.of(number, table, decision, {"kl": math.nan}, 10 * number)
        append(tmp_path / "decisions.jsonl", found, line)
        found.append(line)
    return found


def test_what_is_written_is_read_again_and_follows_from_itself(tmp_path, lines):
    path = tmp_path / "decisions.jsonl"
    again = read_lines(path)
    assert [line.to_json() for line in again] == [line.to_json() for line in lines]
    standing = first_standing(TOURNAMENT, PLAN)
    for line in again:
        decision = decide(TOURNAMENT, PLAN, line.round, standing, line.table)
        check(path, line, decision)
        standing = decision.standing


def test_a_torn_last_line_does_not_count_and_is_replaced(tmp_path, lines):
    path = tmp_path / "decisions.jsonl"
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) - 40):
        path.write_bytes(whole[:length])
        kept = read_lines(path)
        assert [line.round for line in kept] == [0]
        append(path, kept, lines[1])
        assert path.read_bytes() == whole


def test_a_damaged_line_in_the_middle_is_refused(tmp_path, lines):
    path = tmp_path / "decisions.jsonl"
    path.write_text(path.read_text().replace("0.1", "0.4", 1))
    with pytest.raises(ConfigError, match="line 1"):
        read_lines(path)


def test_a_decision_that_does_not_follow_from_its_table_is_refused(tmp_path, lines):
    path = tmp_path / "decisions.jsonl"
    values = lines[0].to_json()
    values["table"]["00.0"]["fitness"] = 9.0
    path.write_text(seal(values))
    (line,) = read_lines(path)
    decision = decide(TOURNAMENT, PLAN, 0, first_standing(TOURNAMENT, PLAN), line.table)
    with pytest.raises(ConfigError, match="was changed"):
        check(path, line, decision)
