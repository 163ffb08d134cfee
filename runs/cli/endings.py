"""How commands end: with a status, and one line that says why."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from runs.common.hints import hint

FAILED, MISTAKE, STOPPED = 1, 2, 3
INTERRUPTED = 128 + 2  # a shell's status of a program that Ctrl-C ended
UNREAD = 128 + 13  # a shell's status of a program that SIGPIPE ended


def plain_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a user's mistake into a message and status 2, a failed run into one and status 1."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except click.ClickException:
            raise
        except Exception as error:
            ending = _ending(command.__name__, error)
            if ending is None:
                raise
        from runs.common.errors import printable

        status, message = ending
        click.echo(printable(message), err=True)
        sys.exit(status)

    return wrapped


def _ending(command: str, error: Exception) -> tuple[int, str] | None:
    """Return the status and the message that an error ends a command with; None: it is a bug's.

    What it needs is imported here, so that a command that does without torch starts without it.
    """
    if isinstance(error, OSError):
        return FAILED, f"{command} failed: {error}"
    if isinstance(error, ValueError):
        from egan.data.source import DataError
        from runs.common.errors import ConfigError

        return (MISTAKE, f"error: {error}") if isinstance(error, ConfigError | DataError) else None
    if not isinstance(error, RuntimeError | MemoryError):
        return None
    from egan.critics import Diverged
    from populations.executors.base import WorkerLost, out_of_memory
    from populations.selection import NoFiniteChild
    from runs.common.lock import RunBusy

    if isinstance(error, RunBusy):
        return MISTAKE, f"error: {error}; wait for it or stop it"
    if isinstance(error, NoFiniteChild | Diverged | WorkerLost):
        return FAILED, f"{command} failed: {error}"
    if out_of_memory(error):
        return FAILED, f"{command} failed: {advice_on_memory(command, error)}"
    return None


MEMORY_ADVICE = {  # what makes a command smaller; a run is made smaller by its config
    "sample": "Lower --count, or write --out FILE.npz, which needs no more memory for more samples",
    "mix": "Lower --columns or --rows",
    "interpolate": "Lower --points or --frames",
    "noise": "Lower --columns or --rows",
    "evaluate": "Lower --count, or ask for fid alone: kid and prdc keep the features of all images",
    "statistics": "Lower --count or --resolution",
    "prepare": "Lower --resolution",
    "translate": "Lower --tile",
    "report": "Lower --count",
    "edit": "Lower --count",
    "explore": "Name fewer runs",
    "dissect": "Name one --layer, or lower --count",
}


def advice_on_memory(command: str, error: BaseException) -> str:
    """Return a line on memory that was short, with what to change about a command."""
    from runs.common.memory import memory_advice, short_memory

    if command not in MEMORY_ADVICE:
        return memory_advice(error)
    device = ", or take --device cpu" if "CUDA" in str(error) and command != "prepare" else ""
    return f"{short_memory(error)}. {MEMORY_ADVICE[command]}{device}"


def muted(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command that writes files do so although what it says cannot be written.

    A signal that ends it leaves no half-written file.
    """

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from runs.common.signals import tidy_end
        from runs.display.muting import muted_on_error

        with tidy_end(), muted_on_error():
            return command(*args, **kwargs)

    return wrapped


def showing(command: Callable[..., Any]) -> Callable[..., Any]:
    """End a command that is called for its output, if that cannot be written.

    Status 141 and no word where the reader has ended, as of `cat` before `head`; else status 1.
    """

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from runs.display.muting import Essential, OutputLost, muted_on_error

        try:
            with muted_on_error(Essential):
                return command(*args, **kwargs)
        except OutputLost as error:
            if error.unread:
                sys.exit(UNREAD)
            click.echo(f"{command.__name__} failed: {error}", err=True)
            sys.exit(FAILED)

    return wrapped


def continued(command: Callable[..., Any]) -> Callable[..., Any]:
    """Say after Ctrl-C that the same command goes on from what it has kept; status 130."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            click.echo("stopped; give the same command again to go on", err=True)
            sys.exit(INTERRUPTED)

    return wrapped


def stoppable(command: Callable[..., Any]) -> Callable[..., Any]:
    """End a run's command with status 3 on SIGTERM, SIGHUP or Ctrl-C, from its first moment on.

    While the generations go on, they are finished first: see `runs.common.signals`. Output that
    cannot be written is muted: see `runs.display.muting`.
    """

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from runs.common.signals import exit_at_once
        from runs.display.muting import muted_on_error

        context = click.get_current_context()
        params = context.params

        def advice() -> str:
            folder = Path(params["output"] or params.get("run_dir") or "")
            if context.command.name == "train" and "runs.store.folder" in sys.modules:
                from runs.common.lock import is_own
                from runs.store.folder import RunFolder

                if is_own(RunFolder(folder).lock):
                    RunFolder(folder).discard()  # what holds a generation stays
            if not (folder / "config.yaml").is_file():
                return "the run had not begun, so start it again"
            return f"go on with: {hint('resume', folder)}"

        with exit_at_once(STOPPED, advice), muted_on_error():
            return command(*args, **kwargs)

    return wrapped
