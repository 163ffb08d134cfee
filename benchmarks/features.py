"""Images per second of each feature space, and seconds of each metric on top.

    python benchmarks/features.py --images 64 --side 64 --threads 2
    python benchmarks/features.py --metrics --count 10000 --dimension 2048

The first times the embedding alone. Inception runs on the published weights if they are found, and
on random ones of the same structure if not: its speed does not depend on them. The second times the
metrics on random features, with the highest memory use of the process.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fitness.features import FeatureSpace, WeightsError
from fitness.features.classifier import ClassifierSpace
from fitness.features.inception import InceptionSpace, InceptionV3
from fitness.features.pixels import PixelSpace
from fitness.metrics.fid import frechet_distance
from fitness.metrics.kid import kernel_distance
from fitness.metrics.prdc import precision_recall_density_coverage
from fitness.statistics import RunningStatistics, Statistics
from runs.evaluation.weights import efficientnet_space, inception_space


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def inception(device: str) -> FeatureSpace:
    try:
        return inception_space(device=device)
    except WeightsError as error:
        print(f"# inception: random weights, {str(error).split('.')[0]}")
        with torch.random.fork_rng():
            return InceptionSpace(InceptionV3().state_dict(), "random", device)


def classifier(images: torch.Tensor, device: str) -> FeatureSpace:
    start = time.perf_counter()
    space = ClassifierSpace.trained(images, torch.arange(len(images)) % 10, device=device)
    seconds = time.perf_counter() - start
    print(f"# classifier: trained on {len(images)} images in {seconds:.1f} s")
    return space


def rate(space: FeatureSpace, images: torch.Tensor, repeats: int) -> float:
    """The best of several runs, in images per second; the first run warms up."""
    space(images)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        space(images)
        synchronize(str(space.device))
        best = min(best, time.perf_counter() - start)
    return len(images) / best


def time_spaces(arguments: argparse.Namespace) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (3, arguments.side, arguments.side)
    images = torch.randint(
        0, 256, (arguments.images, *shape), dtype=torch.uint8, generator=generator
    )
    spaces: dict[str, Callable[[], FeatureSpace]] = {
        "pixels": lambda: PixelSpace(shape, arguments.device),
        "classifier": lambda: classifier(images.repeat(8, 1, 1, 1), arguments.device),
        "efficientnet-lite0": lambda: efficientnet_space(arguments.device),
        "inception": lambda: inception(arguments.device),
    }
    for name, make in spaces.items():
        try:
            space = make()
        except WeightsError as error:
            print(f"{name:20} left out: {error}")
            continue
        found = rate(space, images, arguments.repeats)
        print(f"{name:20} {space.dimension:6d}-d {found:12.1f} images/s")


def time_metrics(arguments: argparse.Namespace) -> None:
    generator = torch.Generator().manual_seed(0)
    size = (arguments.count, arguments.dimension)
    real, fake = (torch.randn(size, generator=generator).to(arguments.device) for _ in range(2))
    print(f"# {arguments.count} + {arguments.count} features of {arguments.dimension} dimensions")

    def moments(features: torch.Tensor) -> Statistics:
        running = RunningStatistics(arguments.dimension, arguments.device)
        for part in torch.split(features, 500):
            running.update(part)
        return running.finish("random", None, None)

    for name, compute in {
        "fid": lambda: frechet_distance(moments(real), moments(fake)),
        "kid": lambda: kernel_distance(real, fake),
        "prdc": lambda: precision_recall_density_coverage(real, fake),
    }.items():
        start = time.perf_counter()
        compute()
        synchronize(arguments.device)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{name:8} {time.perf_counter() - start:8.1f} s   peak {peak:.2f} GiB so far")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--images", type=int, default=64, help="images in a turn [default: %(default)s]"
    )
    parser.add_argument("--side", type=int, default=64, help="their pixels [default: %(default)s]")
    parser.add_argument(
        "--repeats", type=int, default=3, help="turns of each space [default: %(default)s]"
    )
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="threads of torch"
    )
    parser.add_argument("--device", default="cpu", help="where to compute [default: %(default)s]")
    parser.add_argument("--metrics", action="store_true", help="time the metrics instead")
    parser.add_argument(
        "--count",
        type=int,
        default=10_000,
        help="features of each set, with --metrics [default: %(default)s]",
    )
    parser.add_argument(
        "--dimension",
        type=int,
        default=2048,
        help="numbers of a feature, with --metrics [default: %(default)s]",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"# torch {torch.__version__}, {arguments.device}, {arguments.threads} threads")
    (time_metrics if arguments.metrics else time_spaces)(arguments)


if __name__ == "__main__":
    main()
