"""The one call path: what a replica does, and what an executor makes of replicas.

A replica holds the whole state. `step` brings it to a generation (by adopting the survivors of the
one before) and scores jobs there; it is idempotent in the first part, so a job may be sent again to
any replica. In process and on Ray alike, only these small values travel.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, Field

from populations.individual import Job, Score

Exported = Any  # a replica's state as plain arrays; opaque here
Survivors = tuple[Job, ...]


class ExecutionConfig(BaseModel, extra="forbid", frozen=True):
    """Where children are made and scored."""

    executor: Literal["local", "ray"] = "ray"
    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="replicas; auto: one per child, at most one per GPU or CPU share"
    )
    threads: int = Field(
        1, ge=1, le=1024, description="CPU threads of a worker; part of the result's bits"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32", description="of convolutions and products; weights and Adam stay float32"
    )
    gpus: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="GPUs of a worker, where the device is cuda"
    )
    address: str | None = Field(None, description="a Ray cluster's address; else RAY_ADDRESS")
    restarts: int = Field(3, ge=0, description="a worker's restarts in a row before the run stops")
    deadline: float = Field(
        900.0, gt=0, allow_inf_nan=False, description="seconds until a silent worker counts as hung"
    )


class WorkerLost(RuntimeError):
    """A worker died more often than the config allows; the run can be resumed."""


@dataclass(frozen=True)
class Outcome:
    """What a step gives: the state that the children were scored in, and their scores."""

    generation: int
    checksum: str
    scores: dict[int, Score]
    training: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    events: tuple[dict[str, Any], ...] = ()


class Replica(Protocol):
    """The whole state on one device."""

    def step(self, generation: int, survivors: Survivors | None, jobs: Sequence[Job]) -> Outcome:
        """Advance to `generation` unless it is there already, then make and score `jobs`."""

    def export(self) -> Exported:
        """Return the state as plain arrays."""

    def restore(self, exported: Exported | None, history: Sequence[Survivors]) -> str:
        """Take a state (None: the initial one), replay survivors, return the checksum."""


@dataclass(frozen=True)
class Origin:
    """From where a lost population is made again: a state, and the survivors since."""

    exported: Exported | None
    history: Sequence[Survivors]


class Executor(Protocol):
    """A set of replicas behind the same calls."""

    description: str

    def step(self, generation: int, survivors: Survivors | None, jobs: Sequence[Job]) -> Outcome:
        """Bring every replica to `generation` and score `jobs`, each on one of them."""

    def export(self) -> Exported:
        """Return the state of a replica."""

    def held(self) -> Exported | None:
        """Return the state that a replica holds at this moment, whatever it is doing.

        For the end of a run whose step was given up; only `close` may follow. None: none answers.
        """

    def restore(self, origin: Origin) -> str:
        """Bring every replica to the end of `origin`; return the state's checksum."""

    def close(self) -> None:
        """Free what the executor holds."""


Recover = Callable[[], Origin]
