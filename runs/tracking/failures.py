"""The meaning of a failed call of MLflow: the store refuses, or cannot be reached just now.

Trying again helps against the second alone. MLflow, its stores and their drivers raise anything, so
this looks at codes and at words.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from populations.messages import one_line
from runs.common.addresses import without_secrets

LONGEST = 200  # characters of a reason
LATER = (408, 429)  # HTTP's "time-out" and "too many requests", which pass
# What databases say, in errors of the same kinds as for a lost connection.
REFUSALS = re.compile(
    r"authentication failed|access denied|permission denied|(role|database) \S+ does not exist"
    r"|unknown database|readonly database|unable to open database file|file is not a database"
    r"|out-of-date database schema|can't locate revision|could not parse|can't load plugin"
    r"|credential",
    re.IGNORECASE,
)
# What MLflow says of a request that the library requests had to give up, and the cause in it.
REQUEST = re.compile(
    r"API request to (\w+://[^/\s]+)\S* failed with exception .*\(Caused by \w+\("
    r"""(?:.*?: (?=Failed to))?["']*(.*?)["']*\)\)""",
    re.DOTALL,
)
# What it says of a server that was reached, and answers with an error.
ANSWERED = re.compile(r"too many 5\d\d error responses|error code 5\d\d\b|\b5\d\d Server Error")
NO_ADDRESS = ("InvalidUrlException", "NoSuchModuleError", "ArgumentError")


class ArtifactsFailed(Exception):
    """Files could not be put where the store keeps them; the metrics are logged."""


@contextmanager
def artifacts() -> Iterator[None]:
    """Tell a failure to put files where the store keeps them from one of the store itself.

    Raises:
        ArtifactsFailed: the files' place failed, such as a folder without permission.
    """
    try:
        yield
    except Exception as error:
        if hasattr(error, "get_http_status_code") or "Connection" in type(error).__name__:
            raise
        raise ArtifactsFailed(str(error)) from error


def is_refused(error: BaseException) -> bool:
    """Return whether the store refuses what it was asked, so that asking again is of no use."""
    if isinstance(error, ImportError | PermissionError | ArtifactsFailed):
        return True
    if type(error).__name__ in NO_ADDRESS or REFUSALS.search(str(error)):
        return True
    code = getattr(error, "get_http_status_code", None)
    return code is not None and 400 <= code() < 500 and code() not in LATER


def reason_of(error: BaseException) -> str:
    """Return why a call failed, in a line, without secrets."""
    text = without_secrets(str(error)).partition("[SQL: ")[0]
    if found := REQUEST.search(text):  # the cause stands at the end of a long text
        text = f"{found[1]}: {found[2]}"
    text = one_line(text, LONGEST) or type(error).__name__
    if isinstance(error, ModuleNotFoundError):
        return f"{text}: install the Python package that this kind of store needs"
    return text


def warning_of(error: BaseException, what: str) -> str:
    """Return what to tell of a failed call while `what`, a run or a study, goes on."""
    reason = reason_of(error)
    if isinstance(error, ArtifactsFailed):
        return f"warning: MLflow's artifacts cannot be written, the {what} goes on: {reason}"
    if is_refused(error):
        return f"warning: MLflow refuses the record, the {what} goes on without it: {reason}"
    if ANSWERED.search(str(error)):
        return f"warning: MLflow's server answers with an error, the {what} goes on: {reason}"
    return f"warning: MLflow cannot be reached, the {what} goes on: {reason}"
