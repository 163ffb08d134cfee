"""Where and in which arithmetic a run is computed."""

from typing import Literal

from pydantic import Field

from populations.executors.base import PlacementConfig


class ExecutionConfig(PlacementConfig, extra="forbid", frozen=True):
    """Where children are made and scored, and in which arithmetic."""

    precision: Literal["float32", "winograd", "tf32", "bfloat16", "auto"] = Field(
        "float32",
        description="precision of convolutions and matrix products; weights and Adam stay float32. "
        "If none is named, a new run on a GPU takes tf32, but for MLPs, studies and tournaments. "
        "winograd: float32 with fewer multiplications, for wide DCGANs; auto: tf32 on a GPU, else "
        "the fastest in a short measurement before a new run begins; two runs may choose "
        "differently, so the config keeps the choice: name it to repeat a run",
    )
    compile: Literal["auto", "none", "graphs"] = Field(
        "auto",
        description="auto, graphs: capture each step as a CUDA graph and replay it, with the same"
        " bits, which saves most of a small network's time; none: launch each kernel "
        "by itself; no effect without CUDA",
    )
