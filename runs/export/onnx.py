"""A network as an ONNX file, kept only if ONNX Runtime computes with it what torch does."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch.export import Dim

from egan.files import atomic_file
from runs.common.errors import ConfigError
from runs.export.networks import Exportable, Inputs

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4  # largest difference, relative to outputs above 1: 1/80 of one of 256 greys
LARGEST = 2**31  # bytes in one file: the limit of its format
LONGEST_SIDE = 2**14  # pixels


def check_packages() -> None:
    """Refuse an export that would fail for want of a package.

    Raises:
        ConfigError: names the packages.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"--onnx needs {', '.join(missing)}, which is not installed; install it: "
            f"pip install {' '.join(PACKAGES)}"
        )


def write_onnx(network: Exportable, path: Path, about: dict[str, object]) -> float:
    """Write a network; return the largest difference of ONNX Runtime's output from torch's own.

    Args:
        network: on the CPU.
        path: of the file, which is there only if the difference is at most `TOLERANCE`.
        about: what the file says of its origin, beside what the network says.

    Raises:
        ConfigError: torch cannot export it, it is too large, or its outputs differ.
    """
    size = 4 * sum(parameter.numel() for parameter in network.module.parameters())
    if size >= LARGEST:
        raise ConfigError(f"weights of {size / 2**30:.1f} GiB do not fit into an ONNX file, 2 GiB")
    with atomic_file(path) as temporary:
        _export(network, temporary, network.about | about)
        found = max(_difference(temporary, *check) for check in network.checks)
        if not found <= TOLERANCE:
            raise ConfigError(
                f"not exported: ONNX Runtime's output differs from torch's by {found:.2g}, and "
                f"{TOLERANCE:g} is allowed"
            )
    return found


def free_axes(network: Exportable) -> tuple[dict[int, Dim], ...]:
    """Return the axes of each input whose size is free, by number, for `torch.export`."""
    rows = Dim("samples", min=1, max=2**20)
    return tuple(
        {0: rows}
        | {
            axis: factor * Dim(f"{'hw'[axis - 2]}", min=2, max=LONGEST_SIDE // factor)
            for axis, factor in network.free.get(name, {}).items()
        }
        for name in network.example
    )


def _export(network: Exportable, path: Path, about: dict[str, object]) -> None:
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                network.module,
                tuple(network.example.values()),
                input_names=list(network.example),
                output_names=[network.output],
                dynamic_shapes=(free_axes(network),),
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            program.model.metadata_props.update(
                {key: json.dumps(value, ensure_ascii=False) for key, value in about.items()}
            )
            program.save(str(path))
    except Exception as error:  # the exporter raises dozens of kinds, on networks of users' own too
        reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), "")
        cause = error.__cause__ or error
        raise ConfigError(
            f"torch cannot export this generator as ONNX: {type(cause).__name__}: {reason.strip()}"
        ) from error


def _difference(path: Path, inputs: Inputs, wanted: torch.Tensor) -> float:
    """Return how far ONNX Runtime's output is from the wanted one, relative where that is large.

    Raises:
        ConfigError: it cannot run the file with these inputs.
    """
    from onnxruntime import InferenceSession

    try:
        session = InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (made,) = session.run(None, {name: rows.numpy() for name, rows in inputs.items()})
    except Exception as error:  # its errors have no common kind but this one
        sizes = ", ".join(f"{name} {tuple(rows.shape)}" for name, rows in inputs.items())
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"not exported: ONNX Runtime cannot run it with {sizes}: {reason}"
        ) from error
    expected = wanted.numpy()
    if made.shape != expected.shape:
        return float("inf")
    return float((np.abs(made - expected) / np.maximum(1, np.abs(expected))).max())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's warnings on torch's own code to itself."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
