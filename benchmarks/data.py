"""A large set of images on disk: python benchmarks/data.py --count 1000000 [--folder DIR].

Makes a .npy file of random images, packs it with `prepare` as a user would, and measures in a
process of its own: opening the packed set, the first batch (which shuffles the set), further
batches at random places, and memory. The files are removed afterwards; twice the size of the
images is needed on the disk (24.6 GB for a million of 64 px). The files have just been written, so
the system holds as much of them in memory as fits.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SIDE, BATCH, BATCHES = 64, 64, 300


def write_images(path: Path, count: int) -> None:
    """Write random images, uint8 (count, 3, 64, 64)."""
    import numpy as np

    stream = np.random.default_rng(0)
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (count, 3, SIDE, SIDE))
    for start in range(0, count, 1000):
        part = images[start : start + 1000]
        part[:] = stream.integers(0, 256, part.shape, np.uint8)
    images.flush()


def own_memory() -> float:
    """The memory of this process that is its own, in MiB; pages of mapped files are not."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 2**10


def draw(folder: str) -> None:
    """Open the packed set and draw from it; print what that takes."""
    import torch

    from egan.data import open_source
    from egan.data.config import PackedConfig
    from egan.data.draws import Draws
    from egan.streams import Purpose

    torch.set_num_threads(1)  # others would wait for it in a loop, which counts as CPU time
    before, start = own_memory(), time.perf_counter()
    source = open_source(PackedConfig(path=Path(folder)))
    opened = time.perf_counter()
    draws = Draws(source, 0, {Purpose.DISCRIMINATOR_DATA: BATCH})
    draws(0, Purpose.DISCRIMINATOR_DATA)
    first = time.perf_counter()
    cpu = time.process_time()
    for generation in range(1, BATCHES + 1):
        draws(generation, Purpose.DISCRIMINATOR_DATA)
    seconds, cpu = time.perf_counter() - first, time.process_time() - cpu
    print(f"open                {1e3 * (opened - start):10.1f} ms")
    print(f"first batch of {BATCH}   {1e3 * (first - opened):10.1f} ms")
    print(f"batches per second  {BATCHES / seconds:10.0f}   ({BATCHES / cpu:.0f} per CPU second)")
    print(f"memory of its own   {own_memory() - before:10.0f} MiB more than before")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--count", type=int, default=100_000, help="images of the set [default: %(default)s]"
    )
    parser.add_argument("--folder", type=Path, help="where the files are made")
    parser.add_argument("--draw", help=argparse.SUPPRESS)  # the process that is measured
    arguments = parser.parse_args()
    if arguments.draw:
        draw(arguments.draw)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        needed, free = 2 * arguments.count * 3 * SIDE**2, shutil.disk_usage(folder).free
        if free < 1.2 * needed:
            sys.exit(f"{needed / 1e9:.1f} GB are needed in {folder}, and {free / 1e9:.1f} are free")
        write_images(Path(folder, "images.npy"), arguments.count)
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        program = [sys.executable, str(ROOT / "run_evolution.py"), "prepare"]
        files = [f"{folder}/images.npy", f"{folder}/packed", "--resolution", str(SIDE)]
        subprocess.run([*program, *files], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = sum(after[:2]) - sum(before[:2])
        print(f"# {arguments.count:,} images of {SIDE} px, {needed / 2e9:.1f} GB", flush=True)
        seconds = time.perf_counter() - start
        print(f"prepare             {seconds:10.1f} s    ({cpu:.1f} s of CPU)", flush=True)
        Path(folder, "images.npy").unlink()
        measured = [sys.executable, __file__, "--draw", f"{folder}/packed"]
        subprocess.run(measured, check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
