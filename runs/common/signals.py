"""SIGTERM, SIGHUP and Ctrl-C end a run after its generation; a second one ends it at once.

SIGHUP comes when the terminal or the connection is gone, often more than once, so it counts as one
signal; where it is ignored, as under `nohup`, it stays so.

SIGUSR1 ends it after its generation, too, with no limit of time.

A generation that takes longer than the grace is given up: an alarm raises KeyboardInterrupt in the
main thread, but only inside `Stop.abandonable`, so never while a line or a snapshot is written.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from populations.messages import tell

HARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SOFT = signal.SIGUSR1  # finish the generation, and what belongs to it, however long that takes
SHOW_CURSOR = b"\x1b[?25h"  # which a live display hides


class Stop:
    """Whether the run was asked to stop, by which signal, and whether its grace is over.

    Attributes:
        signal: the name of the signal, once one has come.
        abandoned: whether something was given up because the grace was over.
    """

    def __init__(self, grace: float | None = None) -> None:
        """Give up what is abandonable `grace` seconds after a signal; None: never."""
        self.signal: str | None = None
        self.abandoned = False
        self._grace = grace
        self._inside = self._late = False

    @contextmanager
    def abandonable(self) -> Iterator[None]:
        """Let what is inside be given up when the grace is over.

        Raises:
            KeyboardInterrupt: it was; `abandoned` tells it from a user's Ctrl-C.
        """
        self._inside = True
        try:
            if self._late:
                self._give_up()
            yield
        finally:
            self._inside = False

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Note the signals; the former handlers return with the first hard one, or afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only a main thread may handle signals
            return

        def note(number: int, frame: FrameType | None) -> None:
            self.signal = signal.Signals(number).name
            if number == SOFT:
                return
            put_back()
            if signal.SIGHUP in former:  # a lost connection is no second wish
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            if self._grace is not None:
                _say(
                    f"{self.signal}: the generation has {self._grace:g} s to finish, then a "
                    "snapshot is written; another signal ends the run at once"
                )
                former[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._alarm)
                signal.setitimer(signal.ITIMER_REAL, max(self._grace, 1e-3))

        def put_back() -> None:
            if signal.SIGALRM in former:
                signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in former.items():
                signal.signal(number, handler)

        former = {number: signal.signal(number, note) for number in _heeded()}
        try:
            yield
        finally:
            put_back()

    def _alarm(self, number: int, frame: FrameType | None) -> None:
        self._late = True
        if self._inside:
            self._give_up()

    def _give_up(self) -> NoReturn:
        self.abandoned = True
        raise KeyboardInterrupt


@contextmanager
def graceful_stop() -> Iterator[Stop]:
    """Give a `Stop` that notes signals and lets everything be finished."""
    stop = Stop()
    with stop.listen():
        yield stop


@contextmanager
def exit_at_once(status: int, advice: Callable[[], str]) -> Iterator[None]:
    """End the process at once on SIGTERM or SIGINT, with a status and a line of advice.

    For a command's start, when nothing was begun that could be lost, and for the second signal,
    after which nothing is waited for.
    """

    def leave(number: int, frame: FrameType | None = None) -> None:
        with suppress(Exception):  # it may be in the middle of a write
            sys.stdout.flush()
            if sys.stdout.isatty():
                os.write(sys.stdout.fileno(), SHOW_CURSOR)
        _say(f"stopped at once by {signal.Signals(number).name}; {advice()}")
        os._exit(status)

    former = {number: signal.signal(number, leave) for number in _heeded()}
    try:
        yield
    except SystemExit as error:
        if error.code == signal.SIGTERM:  # raised by Ray's handler, which it sets while it starts
            leave(signal.SIGTERM)
        raise
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def tidy_end() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as an error does, so that it leaves no temporary file.

    The status is that of a shell for a program that the signal ended. A second one ends it at once.
    """

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        signal.signal(number, signal.SIG_DFL)
        raise SystemExit(128 + number)

    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def same_handlers() -> Iterator[None]:
    """Put the handlers back that a library replaces, as Ray does when it starts."""
    former = {number: signal.getsignal(number) for number in (*HARD, SOFT)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in former.items():
                signal.signal(number, handler)


def keep_status(status: int) -> None:
    """Let a signal from here on end the process with a status that is known.

    For the end, where Python and libraries clean up: nothing is left that could be lost.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(status)

    for number in _heeded():
        signal.signal(number, leave)


def ignore_signals() -> None:
    """Ignore the signals that end a run.

    For the last moments, in which Python has no handlers any more and a signal would end the
    process with a status of its own.
    """
    for number in _heeded():
        signal.signal(number, signal.SIG_IGN)


def _heeded() -> list[int]:
    """Return the signals that end a run: those that whoever started it does not have ignored."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in (*HARD, SOFT) if not (ignored and number == signal.SIGHUP)]


def _say(text: str) -> None:
    """Write a line from a handler, if it can be written."""
    with suppress(OSError):
        tell(text)
