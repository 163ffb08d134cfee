"""The command line: a module for each group of commands.

These modules import only click, so that `--help` is quick; a command imports what it needs itself.
"""

from collections.abc import Sequence
from itertools import pairwise

import click

from fitness.suggestion import nearest
from runs.cli import (
    dissecting,
    evaluating,
    exploring,
    exporting,
    inspecting,
    preparing,
    sampling,
    studies,
    styles,
    tournaments,
    training,
    translating,
)


class Group(click.Group):
    """A group that names the nearest command when one is misspelt."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command; a misspelt one is the user's mistake."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            hint = nearest(args[0], self.commands)
            raise click.UsageError(
                f"no command {args[0]!r}{hint} Commands: {', '.join(sorted(self.commands))}"
            )
        _refuse_empty(args)
        return super().resolve_command(ctx, args)


def _refuse_empty(args: Sequence[str]) -> None:
    """Refuse an empty argument, which would be taken for the current folder.

    Raises:
        click.UsageError: there is one.
    """
    for before, text in pairwise(("", *args)):
        option, equals, value = (
            text.partition("=") if text.startswith("--") else (before, "=", text)
        )
        if equals and not value:
            raise click.UsageError(
                f"the value after {option!r} is empty; if it is a variable of your shell, that is "
                "not set"
            )


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="evolutionary-gan")
def main() -> None:
    """Evolve GAN generators against a shared discriminator.

    \b
    First steps:
      run-evolution presets                 the configs that come with the program
      run-evolution train digits            evolve digits; a few minutes on a laptop
      run-evolution inspect outputs/RUN     the state and the scores of the run
      run-evolution sample outputs/RUN --out grid.png
    """


for command in (
    training.train,
    training.resume,
    inspecting.inspect,
    inspecting.presets,
    sampling.sample,
    sampling.soup,
    sampling.convert,
    translating.translate,
    translating.report,
    exporting.export,
    exploring.explore,
    styles.mix,
    styles.interpolate,
    styles.noise,
    dissecting.dissect,
    dissecting.detectors,
    dissecting.edit,
    dissecting.repair,
    evaluating.evaluate,
    evaluating.statistics,
    studies.study,
    studies.compare,
    tournaments.tournament,
    preparing.prepare,
):
    main.add_command(command)
