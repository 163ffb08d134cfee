"""The device that a run's samples are made on, and that their features are computed on."""

from typing import Literal

import torch

from egan.determinism import prepare_device
from runs.common.errors import ConfigError
from runs.config.execution import ExecutionConfig

Asked = Literal["auto", "cpu", "cuda"]


def chosen_device(asked: Asked = "auto", execution: ExecutionConfig | None = None) -> str:
    """Return "cpu" or "cuda".

    Args:
        asked: auto is CUDA where it is here and the run, if there is one, may use it; else the CPU.
        execution: the run's.

    Raises:
        ConfigError: cuda is asked for, and torch finds no GPU here.
    """
    here = torch.cuda.is_available()
    if asked == "cuda" and not here:
        raise ConfigError("--device cuda: torch finds no GPU here; take --device cpu")
    if asked != "auto":
        return asked
    return "cuda" if here and (execution is None or execution.device != "cpu") else "cpu"


def opened_device(asked: Asked = "auto", execution: ExecutionConfig | None = None) -> str:
    """Return the chosen device, made ready for arithmetic whose bits come again.

    On the CPU nothing is set: the number of threads is the process's own.
    """
    device = chosen_device(asked, execution)
    if device == "cuda":
        prepare_device(device, torch.get_num_threads())
    return device
