"""Interfaces: what a replica does, and how an executor calls replicas.

A replica holds the whole state. `step` brings it to a generation (by adopting the survivors of the
one before), makes jobs there and scores them; the first part is idempotent, so a job may be
sent again to any replica. In process and on Ray alike, only these small values are passed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, Field

from populations.individual import Job, Score

Exported = Any  # a replica's state as plain arrays; opaque here, but for its `nbytes` if it has any
Survivors = tuple[Job, ...]


# What torch says where its own kind of error does not: the host's allocator, CUDA, cuBLAS.
SHORT = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


class PlacementConfig(BaseModel, extra="forbid", frozen=True):
    """Where children are made and scored: on how many workers, on which machines."""

    executor: Literal["auto", "local", "ray"] = Field(
        "auto",
        description="local: in this process; ray: in workers; auto: local on a machine with one "
        "device, else ray",
    )
    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="number of workers; auto: one per child, if the cluster has enough room"
    )
    threads: int = Field(
        1,
        ge=1,
        le=1024,
        description="CPU threads per worker; results differ in their last bits between numbers of"
        " threads",
    )
    cpus: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="CPUs reserved per worker; default: threads"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    gpus: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="GPUs reserved per worker, if the device is cuda",
    )
    resources: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        {}, description="custom Ray resources reserved per worker"
    )
    labels: dict[str, str] = Field(
        {}, description="node labels that workers require (Ray's label selector)"
    )
    address: str | None = Field(None, description="address of a Ray cluster; null: RAY_ADDRESS")
    ship_code: bool = Field(
        False, description="send this package to those nodes of a cluster that do not have it"
    )
    patience: float = Field(
        300.0,
        gt=0,
        allow_inf_nan=False,
        description="seconds to wait for the first worker to start",
    )
    restarts: int = Field(
        3,
        ge=0,
        description="consecutive restarts per worker and node, and per child, before the run fails",
    )
    deadline: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["auto"] = Field(
        "auto",
        description="seconds without an answer after which a worker counts as hung; auto: from "
        "the measured times",
    )


class WorkerLost(RuntimeError):
    """All workers, or the cluster's head, are lost for good; the run can be resumed."""


def out_of_memory(error: BaseException) -> bool:
    """Return whether a host or a device was out of memory; torch is not imported here."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # torch's, or Ray's
        or (isinstance(error, RuntimeError) and any(sign in str(error) for sign in SHORT))
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a step: the state that the children were scored in, and their scores."""

    generation: int
    checksum: str
    scores: dict[int, Score]
    training: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    events: tuple[dict[str, Any], ...] = ()
    replicas: tuple[dict[str, Any], ...] = ()  # where each is, and how it fares


class Replica(Protocol):
    """The whole state on one device."""

    @property
    def hardware(self) -> str:
        """Return the device's name for people, such as a GPU's model."""

    def step(
        self,
        generation: int,
        survivors: Survivors | None,
        jobs: Sequence[Job],
        scored: bool = True,
    ) -> Outcome:
        """Advance to `generation` unless it is there already, then make `jobs`, and score them.

        Unless `scored`, a child has no values, and a failure only if it could not be made.
        """

    def export(self) -> Exported:
        """Return the state as plain arrays."""

    def restore(self, exported: Exported | None, history: Sequence[Survivors]) -> str:
        """Take a state (None: the initial one), replay survivors, return the checksum."""


@dataclass(frozen=True)
class Origin:
    """The source of a lost population: a state, and the survivors since."""

    exported: Exported | None
    history: Sequence[Survivors]


class Executor(Protocol):
    """A set of replicas behind the same calls."""

    description: str

    def step(
        self,
        generation: int,
        survivors: Survivors | None,
        jobs: Sequence[Job],
        scored: bool = True,
    ) -> Outcome:
        """Bring every replica to `generation`; make `jobs`, and score them, each on one of them."""

    def export(self) -> Exported:
        """Return the state of a replica."""

    def held(self) -> Exported | None:
        """Return the state that a replica holds at this moment, whatever it is doing.

        For the end of a run whose step was given up; only `close` may follow. None: none answers.
        """

    def restore(self, origin: Origin) -> str:
        """Bring every replica to the end of `origin`; return the state's checksum."""

    def close(self) -> tuple[dict[str, Any], ...]:
        """Free what the executor holds; return the events that no step told of."""


Recover = Callable[[], Origin]
