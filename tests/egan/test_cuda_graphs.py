"""Recorded steps: the bits of plain ones, whatever is recorded, and never a wrong one.

A CPU has no graphs, so most of these tests record with a tracer (recording.py).
"""

import contextlib
import inspect
import logging
from collections import Counter

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from egan import cuda_graphs
from egan.cuda_graphs import PROOFS, Recordings, recorder
from egan.replica import EngineReplica
from egan.tensor_tree import copy
from populations.individual import Job
from tests.egan.recording import Tracer, played

# What a CUDA graph cannot hold: reading a number, copying from the host, results of unknown size.
FORBIDDEN = {"_local_scalar_dense", "item", "nonzero", "lift_fresh_copy", "masked_select", "unique"}


GAMES = {
    "mlp": {"kind": "mlp"},
    "dcgan": {"kind": "dcgan"},
    "two parents": {"kind": "mlp", "population": {"survivors": 2}},
    "steps, fresh noise": {"kind": "mlp", "population": {"steps": 2, "noise": "fresh"}},
    "penalties": {
        "kind": "mlp",
        "discriminator": {
            "updates": 2, "r1": 1.0, "r1_every": 3, "r2": 0.5, "gradient_penalty": 10.0,
        },
    },
    "dcgan, penalties": {
        "kind": "dcgan", "discriminator": {"r1": 1.0, "r2": 0.5, "gradient_penalty": 10.0},
    },
    "diffaug": {"kind": "dcgan", "discriminator": {"augment": "diffaug", "r1": 1.0}},
    "ada": {"kind": "dcgan", "discriminator": {"augment": "ada", "augment_kimg": 0.02}},
    "hinge, no norm": {"kind": "dcgan-plain-d", "discriminator": {"loss": "hinge", "updates": 2}},
}  # fmt: skip


@pytest.mark.parametrize("game", GAMES)
def test_a_recorded_game_has_the_bits_of_the_plain_one(engine_of, game):
    tracer = Tracer()
    recorded = engine_of(**GAMES[game], record=tracer)
    assert played(recorded) == played(engine_of(**GAMES[game]))
    assert recorded._recordings.in_use >= 4  # descents, objectives, D's gradients, fakes
    assert max(tracer.replays.values()) > PROOFS  # the last ones were used, not only checked
    assert not recorded._recordings._plain
    for recording in tracer.recordings:  # and it holds nothing that a CUDA graph cannot
        names = {operation.overloadpacket.__name__ for operation in recording.operations}
        assert names and not names & FORBIDDEN, names & FORBIDDEN
        assert not recording.captured


def test_siblings_in_any_order_share_a_recording(engine_of):
    tracer = Tracer()
    played(engine_of("mlp", record=tracer), generations=8)
    assert len(tracer.recordings) == 5  # descents, reals' gradient, objectives, fakes, D's gradient


def test_the_replica_plays_the_same_game_recorded(engine_of):
    replicas = [EngineReplica(engine_of("dcgan", record=record)) for record in (None, Tracer())]
    survivors = None
    for generation in range(6):
        jobs = [Job(i, (0,), n) for i, n in enumerate(("minimax", "heuristic", "least_squares"))]
        plain, recorded = (r.step(generation, survivors, jobs) for r in replicas)
        assert (plain.checksum, plain.scores) == (recorded.checksum, recorded.scores)
        survivors = (jobs[generation % 3],)


# -------------------------------------------------------------------- what cannot be recorded


def moody(logits):
    """Not a function of the logits alone: its weight changes from call to call."""
    moody.calls += 1
    return (logits - moody.calls).square().mean()


def test_a_mutation_that_changes_is_found_out_and_called_plainly(engine_of, caplog):
    records = []
    for record in (None, Tracer()):
        moody.calls = 0
        engine = engine_of("mlp", own={"heuristic": moody}, record=record)
        state = engine.initial_state()
        job, losses = Job(0, (0,), "heuristic"), []
        for _ in range(2):
            (child,) = engine.vary(state, [job])
            losses.append(child.networks["generator"].weights.params)
        records.append(losses)
    assert not torch.equal(records[0][0], records[0][1])
    assert "other bits than the plain call" in caplog.text
    assert len(engine._recordings._plain) == 1


def reading(logits):
    """Reads a number on the host, which no graph can hold."""
    return logits.mean() * (2.0 if float(logits.detach().mean()) > 0 else 3.0)


def test_a_mutation_that_reads_its_logits_is_called_plainly(engine_of, caplog):
    plain = played(engine_of("mlp", own={"heuristic": reading}))
    engine = engine_of("mlp", own={"heuristic": reading}, record=Tracer())
    assert played(engine) == plain
    assert "a step is not recorded, but called plainly" in caplog.text
    assert engine._recordings.in_use >= 3  # the other steps


def failing(logits):
    raise ValueError("no such loss")


def test_a_failing_mutation_fails_its_child_as_ever(engine_of):
    engine = engine_of("mlp", own={"heuristic": failing}, record=Tracer())
    state = engine.initial_state()
    for _ in range(4):
        (child,) = engine.vary(state, [Job(0, (0,), "heuristic")])
        assert child.failure == "ValueError: no such loss"


# --------------------------------------------------------------------------- the recordings alone


def doubled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: 2 * tensor for name, tensor in tensors.items()}


def test_a_recording_is_used_after_its_proofs_and_told_by_shape(caplog):
    calls = Counter()

    def counted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        calls[tensors["a"].shape] += 1
        return doubled(tensors)

    run = Recordings(Tracer())
    for step in range(10):
        for shape in ((2,), (3,), (2, 3)):
            given_ = {"a": torch.full(shape, float(step)), "b": torch.full(shape, -1.0)}
            result = run("twice", counted, given_)
            assert result["a"].tolist() == (2 * given_["a"]).tolist()
            assert result["b"].tolist() == (2 * given_["b"]).tolist()
    # Once before it is recorded, once by the tracer, and plainly for each proof.
    assert set(calls.values()) == {1 + 1 + PROOFS}
    assert run.in_use == 3 and not caplog.records


def test_results_stay_when_the_recording_runs_again():
    run = Recordings(Tracer())
    results = [run("twice", doubled, {"a": torch.full((3,), float(i))})["a"] for i in range(8)]
    assert [result[0].item() for result in results] == [2.0 * i for i in range(8)]


def test_not_a_number_is_a_bit_pattern_like_others():
    run = Recordings(Tracer())
    for _ in range(5):
        assert run("twice", doubled, {"a": torch.tensor([float("nan"), 1.0])})["a"].isnan()[0]
    assert run.in_use == 1


def test_a_recorder_that_fails_leaves_the_plain_call(caplog):
    def broken(function, arguments):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    run = Recordings(broken)
    for step in range(5):
        assert run("twice", doubled, {"a": torch.tensor([step])})["a"].item() == 2 * step
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        "execution.compile: a step is not recorded, but called plainly: "
        "RuntimeError: operation not permitted when stream is capturing more"
    ]


def test_there_are_no_more_recordings_than_memory_is_meant_for(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "MOST", 2)
    tracer = Tracer()
    run = Recordings(tracer)
    for _ in range(6):
        for size in range(1, 6):
            assert run("twice", doubled, {"a": torch.ones(size)})["a"].sum() == 2 * size
    assert len(tracer.recordings) == run.in_use == 2


def test_what_is_not_a_tensor_is_refused():
    run = Recordings(Tracer())
    with pytest.raises(TypeError, match=r"a tree is of tensors, and this is a float: 2\.0"):
        run("twice", doubled, {"a": 2.0})


def test_without_cuda_nothing_is_recorded():
    assert recorder(torch.device("cpu")) is None
    assert Recordings(None)("twice", doubled, {"a": torch.ones(1)})["a"].item() == 2


# ------------------------------------------------------------------------------------- on a GPU


class EmulatedGraph(TorchDispatchMode):
    """A CUDA graph's contract on the CPU: the captured operations, again, in the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        self.calls.append((function, args, kwargs, result))
        return result

    def replay(self) -> None:
        with torch._C._AutoDispatchBelowAutograd():  # a kernel knows of no gradients
            for function, args, kwargs, result in self.calls:
                again = tree_leaves(function(*args, **kwargs))
                for old, new in zip(tree_leaves(result), again, strict=True):
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


class EmulatedStream:
    def wait_stream(self, other: "EmulatedStream") -> None:
        assert isinstance(other, EmulatedStream)


@pytest.fixture
def emulated_cuda(monkeypatch):
    """Stand in for the calls of CUDA that the recorder makes; each takes what torch's takes."""
    present = EmulatedStream()
    stands = {
        "Stream": EmulatedStream,
        "current_stream": lambda: present,
        "stream": contextlib.nullcontext,
        "graph_pool_handle": lambda: (0, 1),
        "CUDAGraph": EmulatedGraph,
    }
    signature = inspect.signature(torch.cuda.graph)
    for name, stand in stands.items():
        monkeypatch.setattr(torch.cuda, name, stand)

    def capture(*args, **kwargs):
        return signature.bind(*args, **kwargs).arguments["cuda_graph"]

    monkeypatch.setattr(torch.cuda, "graph", capture)


@pytest.mark.parametrize("game", ["dcgan", "steps, fresh noise", "penalties"])
def test_what_is_captured_replays_in_its_own_memory(engine_of, emulated_cuda, game):
    recorded = engine_of(**GAMES[game], record=recorder(torch.device("cuda")))
    assert played(recorded, 8) == played(engine_of(**GAMES[game]), 8)
    assert recorded._recordings.in_use >= 4 and not recorded._recordings._plain


def test_an_argument_is_copied_once_for_as_long_as_it_stays(emulated_cuda, monkeypatch):
    copied = []

    def counted(sources, targets):
        copied.extend(sources)
        copy(sources, targets)

    monkeypatch.setattr(cuda_graphs, "copy", counted)
    replay = recorder(torch.device("cuda"))(lambda pair: [pair[0] + pair[1]], [torch.ones(2)] * 2)
    stays = torch.full((2,), 10.0)
    for step in range(3):
        (result,) = replay([stays, torch.full((2,), float(step))])
        assert result.tolist() == [10.0 + step] * 2
    assert sum(source is stays for source in copied) == 1 and len(copied) == 1 + 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("game", GAMES)
def test_cuda_graphs_have_the_bits_of_plain_kernels(engine_of, game):
    device = torch.device("cuda")
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        recorded = engine_of(**GAMES[game], record=recorder(device), device=device)
        assert played(recorded) == played(engine_of(**GAMES[game], device=device))
        assert recorded._recordings.in_use >= 4 and not recorded._recordings._plain
    finally:
        torch.use_deterministic_algorithms(False)
