"""What samples are asked for, by name, by number, or like the data."""

import pytest
import torch

from egan.data.condition import ConditionCard, Conditions
from runs.common.errors import ConfigError
from runs.sampling.conditions import asked_for, drawn, usual

CLOTHES = ConditionCard(
    Conditions("labels", 4, ("shirt", "2", "trouser", "bag"), (0.1, 0, 0.3, 0.6)),
    counts=(10, 0, 30, 60),
)
FACES = ConditionCard(
    Conditions("tags", 3, ("smile", "hat", "a=b"), (0.5, 0.125, 0.25)),
    rows=((1.0, 0.0, 0.0), (0.0, 0.5, 1.0), (1.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
)


def test_a_class_is_asked_for_by_its_name_or_else_by_its_number():
    found = asked_for(CLOTHES, ["bag", "0", "2"])
    assert found.names == ("bag", "shirt", "2")  # a class named 2 goes before the one numbered 2
    assert found.vectors.argmax(1).tolist() == [3, 0, 1]
    assert found.vectors.sum(1).tolist() == [1, 1, 1]


def test_tags_make_one_vector_with_values_if_given():
    found = asked_for(FACES, tags=["smile, hat=0.25", "a=b", "a=b=-1", "", "none"])
    expected = [[1, 0.25, 0], [0, 0, 1], [0, 0, -1], [0, 0, 0], [0, 0, 0]]
    assert found.vectors.tolist() == expected
    assert found.names[3:] == ("none", "none")


def test_a_tag_called_none_is_a_tag():
    card = ConditionCard(Conditions("tags", 2, ("none", "hat"), (0.5, 0.5)), rows=((1.0, 0.0),))
    assert asked_for(card, tags=["none"]).vectors.tolist() == [[1, 0]]


def test_nothing_asked_is_nothing():
    assert asked_for(CLOTHES) is asked_for(None) is None


@pytest.mark.parametrize(
    ("card", "asked", "message"),
    [
        (None, {"classes": ["bag"]}, "takes no conditions.*leave --class out"),
        (None, {"tags": ["hat"]}, "takes no conditions.*leave --tags out"),
        (CLOTHES, {"classes": ["trousers"]}, "no class 'trousers'; did you mean 'trouser'"),
        (CLOTHES, {"classes": ["4"]}, r"no class '4'.*There are 4: shirt, 2, trouser, bag"),
        (CLOTHES, {"classes": ["-1"]}, "no class '-1'"),
        (CLOTHES, {"tags": ["bag"]}, r"conditioned on labels \(shirt.*ask with --class NAME"),
        (CLOTHES, {"classes": ["bag"], "tags": ["bag"]}, "ask with --class NAME alone"),
        (FACES, {"classes": ["hat"]}, r"conditioned on tags \(smile.*ask with --tags A,B"),
        (FACES, {"tags": ["smile,hut"]}, "no tag 'hut'; did you mean 'hat'"),
        (FACES, {"tags": ["hat=much"]}, "'hat=much': a tag's value is a number, as in hat=0.5"),
        (FACES, {"tags": ["hat=inf"]}, "must be finite"),
    ],
)
def test_what_cannot_be_asked_for_is_one_clear_line(card, asked, message):
    with pytest.raises(ConfigError, match=message) as refused:
        asked_for(card, **asked)
    assert "\n" not in str(refused.value)


def test_a_grid_has_every_class_of_the_data_and_different_rows_of_tags():
    assert usual(CLOTHES).names == ("shirt", "trouser", "bag")
    assert usual(CLOTHES).vectors.argmax(1).tolist() == [0, 2, 3]
    assert usual(FACES).names == ("smile", "hat=0.5,a=b", "none")
    assert usual(FACES).vectors.tolist() == [list(FACES.rows[place]) for place in (0, 1, 3)]


def test_what_a_grid_names_can_be_asked_for():
    for name, vector in zip(usual(FACES).names, usual(FACES).vectors, strict=True):
        assert torch.equal(asked_for(FACES, tags=[name]).vectors[0], vector)


def test_conditions_are_drawn_in_the_datas_shares():
    shares = drawn(CLOTHES, 20_000, 0, 0).mean(0)
    assert shares.tolist() == pytest.approx([0.1, 0, 0.3, 0.6], abs=0.02)
    rows = {tuple(row) for row in drawn(FACES, 200, 0, 0).tolist()}
    assert rows == set(FACES.rows)


def test_draws_are_a_function_of_seed_and_place():
    first = drawn(CLOTHES, 256, 1, 0)
    assert torch.equal(first, drawn(CLOTHES, 256, 1, 0))
    assert torch.equal(first[:9], drawn(CLOTHES, 9, 1, 0))
    assert not torch.equal(first, drawn(CLOTHES, 256, 2, 0))
    assert not torch.equal(first, drawn(CLOTHES, 256, 1, 256))


def test_asked_conditions_go_in_turn_or_each_several_times():
    asked = asked_for(CLOTHES, ["bag", "shirt"])
    assert asked.cycled(3).argmax(1).tolist() == [3, 0, 3]
    assert asked.each(2).argmax(1).tolist() == [3, 3, 0, 0]
