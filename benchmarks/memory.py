"""The most memory that commands take: python benchmarks/memory.py [NAME ...].

Each command runs in a process of its own, for a few generations. The peak is that of its resident
memory, which includes about 220 MiB of Python and torch; CPU seconds are those of the whole
command. This process imports nothing large, for a child's peak begins with its parent's size.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAM = [sys.executable, str(ROOT / "run_evolution.py")]
PLAIN = "tracking.enabled=false", "evaluation.every=null", "execution.threads=1"
# Images of CIFAR-10's number and size, for networks that need it downloaded otherwise.
IMAGES = """
import numpy, sys
images = numpy.random.default_rng(0).integers(0, 256, (50_000, 3, 32, 32), numpy.uint8)
numpy.save(sys.argv[1], images)
"""
DRAWINGS = """
import sys
from pathlib import Path
from PIL import Image
for place in range(64):
    Image.effect_noise((64, 64), 50).convert("RGB").save(Path(sys.argv[1]) / f"{place}.png")
"""


def train(preset: str, folder: str, *settings: str, generations: int = 3) -> list[str]:
    """Return the command that evolves a preset for a few generations."""
    changes = [*PLAIN, f"generations={generations}", *settings]
    options = [word for change in changes for word in ("--set", change)]
    return [*PROGRAM, "train", preset, "--executor", "local", "--output", folder, *options]


def commands(folder: str) -> dict[str, list[str]]:
    """Return the commands by name; later ones use the runs of earlier ones."""
    cifar = "data.source=array", f"data.path={folder}/images.npy"
    small, large = "fitness.batch=32", "population.batch=128"
    return {
        "python and torch alone": [sys.executable, "-c", "import torch"],
        "train gaussians25": train("gaussians25", f"{folder}/g"),
        "train digits": train("digits", f"{folder}/d"),
        "train stylegan2-quick": train("stylegan2-quick", f"{folder}/s"),
        "- population.batch=128": train("stylegan2-quick", f"{folder}/s1", large),
        "- and backbone.checkpoint=true": train(
            "stylegan2-quick", f"{folder}/s2", large, "backbone.checkpoint=true"
        ),
        "train pix2pix-emoji": train("pix2pix-emoji", f"{folder}/p"),
        "train paper-cifar10": train("paper-cifar10", f"{folder}/c", *cifar),
        "- fitness.batch=32": train("paper-cifar10", f"{folder}/c1", *cifar, small),
        "- execution.precision=bfloat16": train(
            "paper-cifar10", f"{folder}/c2", *cifar, "execution.precision=bfloat16"
        ),
        "evaluate digits, 10,000 samples": [
            *PROGRAM, "evaluate", f"{folder}/d", "--metrics", "fid,kid,prdc", "--count", "10000",
        ],
        "translate 64 images": [
            *PROGRAM, "translate", f"{folder}/p", f"{folder}/images", "--out", f"{folder}/out",
            "--convert",
        ],
    }  # fmt: skip


def measured(command: list[str]) -> tuple[float, float]:
    """Return the peak of a command's resident memory, in MiB, and its CPU seconds.

    Raises:
        SystemExit: the command failed; its output says why.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)}\n{output.read().decode()}")
    return used.ru_maxrss / 2**10, used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = list(commands(""))
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which [default: all]; name the run that evaluate or translate needs, too: {known}",
    )
    names = parser.parse_args().names or known
    if unknown := [name for name in names if name not in known]:
        parser.error(f"unknown names {unknown}; known: {known}")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", IMAGES, f"{folder}/images.npy"], check=True)
        Path(folder, "images").mkdir()
        subprocess.run([sys.executable, "-c", DRAWINGS, f"{folder}/images"], check=True)
        for name, command in commands(folder).items():
            if name in names:
                peak, seconds = measured(command)
                print(f"{name:34} {peak:7.0f} MiB {seconds:7.1f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
