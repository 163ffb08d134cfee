"""What the classifier space costs by each of its recipes, and what its metrics say of known faults.

    python benchmarks/classifier.py /usr/share/datasets/fashion-mnist --resolution 32

DATA is a labelled set that `evaluate --against` reads. Each recipe trains on all of it; then 5,000
images are compared with 5,000 others: as they are, and with faults that a metric must notice.
"""

import argparse
import resource
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fitness.evaluation import evaluate_images
from fitness.features.classifier import RECIPES, ClassifierSpace, train_classifier
from fitness.observation import observe
from runs.evaluation.reals import open_reals

COUNT = 5000
METRICS = ("fid", "kid", "precision", "recall", "density", "coverage")


def faulty(images: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Images (N, C, H, W) with the faults that generators have, by name; all but the last N."""
    blurred = F.avg_pool2d(images.float(), 3, 1, padding=1).round()
    noisy = images + 20 * torch.randn(images.shape, generator=generator)
    return {
        "other reals": images,
        "blurred 3 x 3": blurred.to(torch.uint8),
        "noise, sigma 20": noisy.clamp(0, 255).to(torch.uint8),
        "100 reals repeated": images[:100].repeat(len(images) // 100, 1, 1, 1),
        "one class missing": images[labels != labels.max()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder or file of labelled images")
    parser.add_argument(
        "--resolution", type=int, help="pixels of a side that images are brought to"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    source = open_reals(arguments.data, None, arguments.resolution, None)
    if source.labels is None or len(source.images) < 2 * COUNT:
        sys.exit(f"{arguments.data}: at least {2 * COUNT:,} images with labels are needed")
    images, labels = (torch.from_numpy(array[:]) for array in (source.images, source.labels))
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(images), generator=generator)
    chosen = order[COUNT : 2 * COUNT]
    others = faulty(images[chosen], labels[chosen], generator)
    for recipe in RECIPES.values():
        start = resource.getrusage(resource.RUSAGE_SELF)
        network, accuracy = train_classifier(images, labels, recipe)
        end = resource.getrusage(resource.RUSAGE_SELF)
        seconds = end.ru_utime - start.ru_utime + end.ru_stime - start.ru_stime
        print(f"{recipe.name}: {seconds:.1f} s of CPU, accuracy held out {accuracy:.3f}")
        space = ClassifierSpace(network, accuracy, recipe=recipe)
        real = observe([images[order[:COUNT]]], space, COUNT, ("statistics", "features"))
        print(f"{'':20}", *(f"{name:>9}" for name in METRICS))
        for name, fakes in others.items():
            values = evaluate_images(real, [fakes], METRICS, space, count=len(fakes))
            print(f"{name:20}", *(f"{value:9.3g}" for value in values.values()))


if __name__ == "__main__":
    main()
