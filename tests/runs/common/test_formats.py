import pytest

from runs.common import formats
from runs.common.errors import ConfigError
from runs.common.formats import FORMAT, STAMP, VERSION, format_of, upgraded, upgraded_line


def test_a_file_without_a_number_is_of_format_1_and_what_is_written_now_of_the_present_one():
    assert format_of({}, "x") == 1
    assert format_of(STAMP, "x") == format_of({"format": str(FORMAT)}, "x") == FORMAT


def test_a_newer_format_is_refused_in_one_line_that_names_its_version_and_what_to_do():
    with pytest.raises(ConfigError) as caught:
        format_of({"format": FORMAT + 1, "version": "9.4"}, "outputs/a/config.yaml")
    message = str(caught.value)
    assert message.startswith("outputs/a/config.yaml was written by version 9.4 (format 3)")
    assert VERSION in message and "Use version 9.4 or a newer one" in message
    assert "\n" not in message


@pytest.mark.parametrize("found", ["two", 0, -1, 1.0, None, True, "9" * 5000])
def test_a_format_that_is_no_number_is_refused(found):
    with pytest.raises(ConfigError, match="a whole number from 1 is needed"):
        format_of({"format": found}, "x")


def test_steps_are_taken_one_after_the_other(monkeypatch):
    steps = {
        ("data", 1): lambda value: value | {"b": value["a"] + 1},
        ("data", 2): lambda value: value | {"c": value["b"] + 1},
    }
    monkeypatch.setattr(formats, "FORMAT", 3)
    monkeypatch.setattr(formats, "STEPS", steps)
    assert upgraded("data", {"a": 0}, 1) == {"a": 0, "b": 1, "c": 2}
    assert upgraded("data", {"a": 0, "b": 5}, 2) == {"a": 0, "b": 5, "c": 6}
    assert upgraded("config", {"a": 0}, 1) == {"a": 0}


def test_a_generations_events_and_an_afterword_become_lines_of_their_own():
    lost, failed = {"event": "worker-lost", "worker": 1}, {"event": "snapshot-failed"}
    entry = {"generation": 7, "time": 1.5, "jobs": []}
    at = {"generation": 7, "time": 1.5}
    assert upgraded_line(entry | {"events": [lost, failed]}, 1) == [lost | at, failed | at, entry]
    assert upgraded_line(entry | {"events": []}, 1) == [entry]
    assert upgraded_line({"after": 7, "time": 1.5, "events": [failed]}, 1) == [failed | at]


def test_a_line_of_the_present_format_passes_unchanged():
    for line in ({"generation": 7, "jobs": []}, {"event": "x", "generation": 3, "time": 0.5}):
        assert upgraded_line(line, 1) == [line] == upgraded_line(line, FORMAT)
