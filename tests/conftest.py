"""What holds for every test."""

import shlex
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import settings

from runs.cli.main import main
from runs.common import hints

# A busy machine is no failure; pytest's own timeout catches what hangs.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def invoke() -> Callable[..., Result]:
    """Call the command in this process; anything but an exit status is raised."""

    def call(*arguments: object) -> Result:
        result = CliRunner().invoke(main, [str(a) for a in arguments], prog_name="run-evolution")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture(scope="session")
def mistake(invoke) -> Callable[..., str]:
    """Call the command, which must take it for a user's mistake; return its message."""

    def call(*arguments: object) -> str:
        result = invoke(*arguments)
        assert result.exit_code == 2, result.output
        assert "Traceback" not in result.output
        return result.output

    return call


@pytest.fixture(autouse=True)
def _every_hint_is_a_command(monkeypatch) -> Iterator[None]:
    """Every command that a message of the code under test names is one that the program takes."""
    given: list[str] = []

    def noted(words: list[str]) -> str:
        given.append(line := join(words))
        return line

    join = hints.join
    monkeypatch.setattr(hints, "join", noted)
    yield
    for line in given:
        name, *arguments = shlex.split(line)
        with click.Context(main, **main.context_settings) as context:
            main.commands[name].make_context(name, arguments, parent=context)
