"""Which run this is: a random id, made at its birth, and the run that it was forked from.

With the id goes a digest of each part of the config that decides the result, so that a config that
was changed afterwards is not taken for the run's.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, Field, ValidationError

from runs.config.schema import RunConfig

RUN = r"^[0-9a-f]{32}$"
DECIDING = (
    "seed",
    "data",
    "backbone",
    "game",
    "population",
    "fitness",
    "selection",
    "discriminator",
    "optimizer",
    "evaluation",  # which snapshot is the best, and when the run stops
)
# Where the data are and how they are found: their fingerprint says whether they are the same.
MOVABLE = {"data": {"path", "target", "part", "labels", "bits"}}


class Parent(BaseModel, extra="forbid", frozen=True):
    """The state that a run begins with: a snapshot of another run."""

    run: str | None = Field(None, pattern=RUN, description="id of the parent run, if it had one")
    folder: str = Field(description="folder of the parent run")
    generation: int = Field(ge=0)
    checksum: str
    alarms: int = Field(
        0, ge=0, description="consecutive forks by an alarm up to this run; 0: forked by hand"
    )


class Identity(BaseModel, extra="forbid", frozen=True):
    """A run's id, and its parent if it is a fork."""

    run: str = Field(default_factory=lambda: uuid4().hex, pattern=RUN)
    parent: Parent | None = None
    decides: dict[str, str] = Field({}, description="digests of what decides the result, by key")

    def to_json(self) -> dict[str, Any]:
        """Return the identity as a file's head says it."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {
            "run": self.run
        }


def identity_in(head: Mapping[str, Any]) -> Identity | None:
    """Return the identity that a file's head names; None: it names none, or a damaged one."""
    if "run" not in head:
        return None
    try:
        return Identity(run=head["run"], parent=head.get("parent"), decides=head.get("decides", {}))
    except ValidationError:
        return None


def alarms_behind(identity: Identity | None) -> int:
    """Return how many forks by an alarm lead to a run."""
    return identity.parent.alarms if identity and identity.parent else 0


def digests(config: RunConfig) -> dict[str, str]:
    """Return a digest of each part of a config that decides a run's result, by key.

    What is as it is by default does not count, so that a key that a later version adds does not.
    """
    whole, given = (
        config.model_dump(mode="json", exclude=MOVABLE, exclude_defaults=short)
        for short in (False, True)
    )
    given = {key: given.get(key, {}) for key in DECIDING}
    given["seed"] = config.seed
    for key, tag in (("backbone", "name"), ("data", "source")):
        given[key] = {**given[key], tag: whole[key][tag]}
    given["execution.precision"] = config.execution.precision
    return {key: _digest(value) for key, value in given.items()}


def changed(identity: Identity, config: RunConfig) -> list[str]:
    """Return the keys in which a config differs from the one that a run began with."""
    now = digests(config)
    return [key for key, then in identity.decides.items() if now.get(key, then) != then]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
