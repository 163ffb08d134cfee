"""The `export` command: a run's generator, or a generator's folder, as an ONNX file."""

from pathlib import Path

from runs.common.errors import ConfigError
from runs.export.networks import Exportable, exportable_sampler, exportable_translator
from runs.export.onnx import TOLERANCE, check_packages, write_onnx
from runs.sampling.opening import Choice, open_sampler
from runs.translation.opening import find_translator, is_translator


def export_onnx(
    place: Path,
    out: Path,
    choice: Choice | None = None,
    reverse: bool = False,
    truncation: float | None = None,
    cutoff: int | None = None,
) -> list[str]:
    """Write the generator of a run, or of a generator's folder; return lines that say what it is.

    Args:
        place: the folder.
        out: the ONNX file.
        choice: which generator of a run.
        reverse: whether a run of two sets is exported from B to A.
        truncation: psi, for generators with styles; None: none.
        cutoff: how many layers it acts on; None: all.

    Raises:
        ConfigError: there is no such generator, or it cannot be exported; no file was written.
    """
    check_packages()
    if is_translator(place):
        if truncation is not None or cutoff is not None:
            raise ConfigError("--truncation, --cutoff: a translator of images has no styles")
        translator, name = find_translator(place, choice, "cpu", reverse)
        network = exportable_translator(translator, translator.factor)
    else:
        if reverse:
            raise ConfigError("--reverse: this is no translator of images between two sets")
        sampler, name = open_sampler(place, choice, "cpu")
        network = exportable_sampler(sampler.truncated(truncation, cutoff))
    found = write_onnx(network, out, {"origin": f"{place}: {name}"})
    return [
        f"{out}: the {name}",
        *_inputs_and_outputs(network),
        f"checked by ONNX Runtime: outputs differ by {found:.2g} from torch's; {TOLERANCE:g} is "
        "allowed",
    ]


def _inputs_and_outputs(network: Exportable) -> list[str]:
    lines = []
    for name, rows in network.example.items():
        sizes = list(map(str, rows.shape))
        for axis, factor in network.free.get(name, {}).items():
            sizes[axis] = f"a multiple of {factor}"
        kind = str(rows.dtype).removeprefix("torch.")
        lines.append(f"  input {name}: {kind} ({', '.join(['N', *sizes[1:]])})")
    return [*lines, f"  output {network.output}: float32"]
