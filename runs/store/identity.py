"""Which run this is: a random id, made at its birth, and the run that it was forked from."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, Field, ValidationError

RUN = r"^[0-9a-f]{32}$"


class Parent(BaseModel, extra="forbid", frozen=True):
    """The state that a run begins with: a snapshot of another run."""

    run: str | None = Field(None, pattern=RUN, description="the parent's id, if it had one")
    folder: str = Field(description="where the parent lay")
    generation: int = Field(ge=0)
    checksum: str
    alarms: int = Field(0, ge=0, description="forks by an alarm that lead here; 0: a person's")


class Identity(BaseModel, extra="forbid", frozen=True):
    """A run's id, and its parent if it is a fork."""

    run: str = Field(default_factory=lambda: uuid4().hex, pattern=RUN)
    parent: Parent | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the identity as a file's head says it."""
        return self.model_dump(mode="json", exclude_none=True)


def identity_in(head: Mapping[str, Any]) -> Identity | None:
    """Return the identity that a file's head names; None: it names none, or a damaged one."""
    if "run" not in head:
        return None
    try:
        return Identity(run=head["run"], parent=head.get("parent"))
    except ValidationError:
        return None


def alarms_behind(identity: Identity | None) -> int:
    """Return how many forks by an alarm lead to a run."""
    return identity.parent.alarms if identity and identity.parent else 0
