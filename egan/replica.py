"""A replica: the whole state on one device, moved by the engine, answering an executor's calls."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from egan.config import GameConfig
from egan.cuda_graphs import recorder
from egan.data import open_source
from egan.determinism import prepare_device
from egan.engine import Child, Engine
from egan.mutations import Mutation
from egan.state import EvolutionState, checksum, unpack
from populations.executors.base import Outcome, Survivors
from populations.individual import Job, Score


@dataclass(frozen=True)
class ExportedState:
    """An `EvolutionState` as numpy arrays and numbers: what a snapshot holds and Ray carries."""

    arrays: Mapping[str, np.ndarray]
    generation: int
    steps: Mapping[str, int]
    training: Mapping[str, float] = field(default_factory=dict)  # the critics' last report
    settings: Mapping[str, float] = field(default_factory=dict)  # as in `EvolutionState`

    @property
    def nbytes(self) -> int:
        """Return the size of the arrays."""
        return sum(array.nbytes for array in self.arrays.values())


def export_state(state: EvolutionState) -> ExportedState:
    """Return the state's tensors as arrays on the host."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.tensors()}
    return ExportedState(arrays, state.generation, state.steps(), settings=state.settings)


def import_state(exported: ExportedState, device: torch.device) -> EvolutionState:
    """Return the state of `export_state`, copied to `device` (Ray's arrays are shared memory)."""
    tensors = {name: torch.tensor(array, device=device) for name, array in exported.arrays.items()}
    return unpack(tensors, exported.generation, exported.steps, exported.settings)


def exported_checksum(exported: ExportedState) -> str:
    """Return the checksum of a state as a replica would give it."""
    return checksum(import_state(exported, torch.device("cpu")))


class EngineReplica:
    """Keeps one state; makes, scores and adopts children as the executor asks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # One value, replaced at once: another thread, or after an interrupt, may export it.
        self._held: tuple[EvolutionState, dict[str, float]] = (engine.initial_state(), {})
        self._children: dict[Job, Child] = {}
        self._checksum: str | None = None  # of the present state, as is the next
        self._gradients_real: Mapping[str, Tensor] | None = None

    @property
    def state(self) -> EvolutionState:
        """Return the current state."""
        return self._held[0]

    @property
    def hardware(self) -> str:
        """Return the device's name: an accelerator's model, or cpu."""
        device = self._engine.device
        return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type

    def step(
        self,
        generation: int,
        survivors: Survivors | None,
        jobs: Sequence[Job],
        scored: bool = True,
    ) -> Outcome:
        """Advance to `generation` unless it is there already, then make `jobs`, and score them."""
        seconds = {}
        start = perf_counter()
        if survivors is not None and self.state.generation == generation - 1:
            self._advance(survivors)
        state, training = self._held
        assert state.generation == generation, (state.generation, generation)
        fingerprint = self._checksum = self._checksum or checksum(state)
        seconds["advance"] = perf_counter() - start
        start = perf_counter()
        children = self._engine.vary(state, jobs, self._children)
        seconds["variation"] = perf_counter() - start
        start = perf_counter()
        scores = {child.job.index: Score((), child.failure) for child in children}
        if children and scored:
            if self._gradients_real is None:
                self._gradients_real = self._engine.gradients_on_reals(state)
            scores = self._engine.evaluate(state, children, self._gradients_real)
        self._children.update((child.job, child) for child in children)
        seconds["evaluation"] = perf_counter() - start
        return Outcome(generation, fingerprint, scores, training, seconds)

    def export(self) -> ExportedState:
        """Return the state as plain arrays."""
        state, training = self._held
        return replace(export_state(state), training=training)

    def restore(self, exported: ExportedState | None, history: Sequence[Survivors]) -> str:
        """Take a state (None: the initial one), replay the survivors, return the checksum."""
        engine = self._engine
        state = (
            engine.initial_state() if exported is None else import_state(exported, engine.device)
        )
        self._enter(state, dict(exported.training) if exported else {})
        for survivors in history:
            self._advance(survivors)
        return checksum(self.state)

    def _advance(self, survivors: Survivors) -> None:
        """Adopt the survivors; make those again that another replica made."""
        missing = [job for job in dict.fromkeys(survivors) if job not in self._children]
        made = {
            child.job: child for child in self._engine.vary(self.state, missing, self._children)
        }
        chosen = [self._children.get(job) or made[job] for job in survivors]
        self._enter(*self._engine.advance(self.state, chosen))

    def _enter(self, state: EvolutionState, training: dict[str, float]) -> None:
        """Take a state, and drop what was cached for the previous one."""
        self._held = state, training
        self._children, self._checksum, self._gradients_real = {}, None, None


@dataclass(frozen=True)
class ReplicaFactory:
    """Builds a replica wherever it is called; small enough to be sent to any worker.

    The mutations are sent as functions, so that a user's own ones reach workers that do not have
    the user's program.
    """

    config: GameConfig
    device: str
    threads: int
    mutations: Mapping[str, Mutation]
    precision: str = "float32"
    compile: str = "auto"

    def __call__(self) -> EngineReplica:
        """Set up this process for reproducible arithmetic and build the replica.

        Raises:
            ValueError: the data cannot be read here, or the networks do not fit them or memory.
        """
        device = prepare_device(self.device, self.threads, self.precision)
        source = open_source(self.config.data)
        with building():
            record = recorder(device) if self.compile != "none" else None
            engine = Engine(self.config, source, self.mutations, device, self.precision, record)
            return EngineReplica(engine)


@contextmanager
def building() -> Iterator[None]:
    """Say what torch raises for sizes that no memory holds, while networks are built.

    Raises:
        ValueError: they cannot be built here.
    """
    try:
        yield
    except (RuntimeError, OverflowError, TypeError, MemoryError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"backbone: these networks cannot be built here: {reason}") from error
