"""A feature space for small and grey images: a classifier trained on the run's own labelled data.

Inception saw neither digits nor clothes of 28 grey pixels. A small network that learned to tell the
data's own classes apart gives features in which a missing class or a blurred image shows. Scores in
it compare runs on the same data only; the space's identity, a hash of the trained weights, guards
that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitness.digest import digest, digest_weights
from fitness.features.base import FeatureSpace, Progress
from fitness.training import initialised, one_thread

LARGE = 20_000  # for more images than these, `SHORT` is tried
ENOUGH = 0.8  # where it is less accurate than this, `FULL` follows
EPOCHS = 4  # times through the images, where a recipe has no number of steps
LEAST_STEPS = 300  # of `fitted_classifier`: a few hundred images are shown more than EPOCHS times
CHUNK = 128  # images that are classified at once
TRAINING = "training the classifier space"  # the stage's name for a progress callback
HELD_OUT = 0.05  # share of the images on which the accuracy is measured


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained. Another recipe makes another space, so it has another name.

    Attributes:
        number: to be raised with any change of architecture or training.
        name: of the space, which is a part of a metric's name.
        batch: images of a step.
        rate: the first learning rate; it falls to zero in a line.
        layout: of the weights while they are trained.
        steps: of the training; None: `EPOCHS` times through the images.
    """

    number: int
    name: str
    batch: int
    rate: float
    layout: torch.memory_format
    steps: int | None = None


FULL = Recipe(2, "classifier", 128, 2e-3, torch.contiguous_format)
# A set of 60,000 images would take four times as long by `FULL`. Channels-last is faster.
SHORT = Recipe(3, "classifier-short", 64, 8e-3, torch.channels_last, steps=800)
RECIPES = {recipe.number: recipe for recipe in (FULL, SHORT)}
NAMES = tuple(recipe.name for recipe in RECIPES.values())


def recipe_for(count: int) -> Recipe:
    """The recipe that is tried first on so many images."""
    return SHORT if count > LARGE else FULL


class SmallClassifier(nn.Module):
    """Three 3x3 convolutions of stride 2, the mean over positions (N, 128), one linear layer.

    94,410 parameters for grey images and ten classes.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 128, 3, stride=2, padding=1),
            nn.BatchNorm2d(128),
            nn.ReLU(),
        )
        self.head = nn.Linear(128, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Byte images (N, C, H, W) to features (N, 128) and logits (N, K)."""
        features = self.body(images.float() / 127.5 - 1).mean(dim=(2, 3))
        return features, self.head(features)


def train_classifier(
    images: Tensor,
    labels: Tensor,
    recipe: Recipe = FULL,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[SmallClassifier, float]:
    """Train a `SmallClassifier`, on one thread: the same seed gives the same bits.

    Args:
        images: (N, C, H, W), uint8.
        labels: (N,), integers from 0.
        recipe: how.
        seed: of the first values, the order of images and the held-out share.
        progress: called as `progress(TRAINING, steps done, steps in all)`.

    Returns:
        The network in evaluation mode, and its accuracy on the images held out.

    Raises:
        ValueError: shapes or types that do not fit, fewer than 40 images or 2 classes.
    """
    classes = check_labelled(images, labels)
    generator = torch.Generator().manual_seed(seed)
    network = initialised(lambda: SmallClassifier(images.shape[1], classes), generator)
    order = torch.randperm(len(images), generator=generator)
    held = order[: max(1, int(HELD_OUT * len(images)))]
    rest = order[len(held) :]
    report = None if progress is None else partial(progress, TRAINING)
    steps = recipe.steps or EPOCHS * (len(rest) // min(recipe.batch, len(rest)))
    _fit(network, images, labels, rest, generator, recipe, steps, report)
    found = torch.cat([predicted(network, images[part]) for part in torch.split(held, CHUNK)])
    return network, float((found == labels[held]).double().mean())


def fitted_classifier(
    images: Tensor,
    labels: Tensor,
    classes: int,
    *,
    seed: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> SmallClassifier:
    """Train a `SmallClassifier` on all of the images, on one thread; none is held out.

    Args:
        images: (N, C, H, W), uint8.
        labels: (N,), integers from 0.
        classes: how many there are, though the images may lack some.
        seed: of the first values and the order of images.
        report: called as `report(steps done, steps in all)`.

    Returns:
        The network in evaluation mode.

    Raises:
        ValueError: as `train_classifier`.
    """
    check_labelled(images, labels)
    generator = torch.Generator().manual_seed(seed)
    network = initialised(lambda: SmallClassifier(images.shape[1], classes), generator)
    everyone = torch.arange(len(images))
    epoch = len(images) // min(FULL.batch, len(images))
    steps = epoch * max(EPOCHS, ceil(LEAST_STEPS / epoch))
    _fit(network, images, labels, everyone, generator, FULL, steps, report)
    return network


def predicted(network: SmallClassifier, images: Tensor) -> Tensor:
    """The most probable class (N,) of each of the byte images (N, C, H, W)."""
    return torch.cat([network(part)[1].argmax(dim=1) for part in torch.split(images, CHUNK)])


def _fit(
    network: SmallClassifier,
    images: Tensor,
    labels: Tensor,
    rest: Tensor,
    generator: torch.Generator,
    recipe: Recipe,
    steps: int,
    report: Callable[[int, int], None] | None,
) -> None:
    """Train on the images at the places `rest` (M,), and leave the network in evaluation mode."""
    network.to(memory_format=recipe.layout)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), recipe.rate)
    # A last, smaller batch is left out: its statistics would spoil the running ones.
    batch = min(recipe.batch, len(rest))
    network.train()
    with one_thread():
        for step in range(steps):
            place = step % (len(rest) // batch)
            if place == 0:
                rest = rest[torch.randperm(len(rest), generator=generator)]
            chosen = rest[place * batch : (place + 1) * batch]
            for group in optimizer.param_groups:  # the rate falls to zero in a line
                group["lr"] = recipe.rate * (1 - step / steps)
            loss = F.cross_entropy(network(images[chosen])[1], labels[chosen].long())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if report is not None:
                report(step + 1, steps)
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    network.eval().requires_grad_(False)


def check_labelled(images: Tensor, labels: Tensor) -> int:
    """The number of classes, after a check of both tensors."""
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(
            "the classifier space learns from images as bytes, uint8 (N, C, H, W); "
            f"{images.dtype} {tuple(images.shape)} arrived"
        )
    if labels.shape != (len(images),) or labels.is_floating_point() or labels.is_complex():
        raise ValueError(
            f"{len(images)} images need as many integer labels, (N,); "
            f"{labels.dtype} {tuple(labels.shape)} arrived"
        )
    classes = len(torch.unique(labels))
    if len(images) < 40 or classes < 2:
        raise ValueError(
            f"{len(images)} images of {classes} classes are too few to learn features from; "
            "at least 40 images and 2 classes are required"
        )
    if int(labels.min()) < 0 or int(labels.max()) >= 10_000:
        raise ValueError(
            f"labels run from {int(labels.min())} to {int(labels.max())}; "
            "class numbers from 0 to 9,999 are required"
        )
    return int(labels.max()) + 1


class ClassifierSpace(FeatureSpace):
    """The 128 features, and the logits, of a classifier trained on the data at hand.

    Make one by `trained` or `restored`.

    Attributes:
        accuracy: of the classifier on images held out from its training; where it is low, the
            features say little.
        recipe: how it was trained.
    """

    chunk = chunk_on_cpu = 512

    def __init__(
        self,
        network: SmallClassifier,
        accuracy: float,
        device: str | torch.device = "cpu",
        recipe: Recipe = FULL,
    ) -> None:
        self.network = network.to(device)
        self.accuracy = accuracy
        self.recipe = recipe
        identity = digest("classifier", recipe.number, digest_weights(network))
        super().__init__(recipe.name, 128, identity, network.head.out_features, device)

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, 128) and logits (N, K).

        Raises:
            ValueError: another number of channels than the classifier was trained on.
        """
        self.check_channels(images)
        features, logits = self.network(images)
        return features, logits

    def check_channels(self, images: Tensor) -> None:
        """Refuse images (N, C, H, W) with other channels than the classifier was trained on.

        Raises:
            ValueError: says how many arrived.
        """
        channels = self.network.get_submodule("body.0").in_channels
        if images.shape[1] != channels:
            raise ValueError(
                f"the classifier was trained on {channels}-channel images; "
                f"images with {images.shape[1]} arrived"
            )

    @classmethod
    def trained(
        cls,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int = 0,
        device: str | torch.device = "cpu",
        progress: Progress | None = None,
    ) -> "ClassifierSpace":
        """Train on labelled images; see `train_classifier`.

        Training is on the CPU: 20 seconds for grey images of 32 x 32 that are easy to tell apart,
        however many; for others a minute and more.

        Raises:
            ValueError: as `train_classifier`.
        """
        recipe = recipe_for(len(images))
        network, accuracy = train_classifier(images, labels, recipe, seed=seed, progress=progress)
        if recipe is SHORT and accuracy < ENOUGH:
            recipe = FULL
            network, accuracy = train_classifier(
                images, labels, recipe, seed=seed, progress=progress
            )
        return cls(network, accuracy, device, recipe)

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Return the weights, on the CPU, and what made them, for `restored`."""
        about: dict[str, object] = {
            "recipe": self.recipe.number,
            "accuracy": self.accuracy,
            "classes": self.classes,
            "channels": self.network.get_submodule("body.0").in_channels,
        }
        return {name: tensor.cpu() for name, tensor in self.network.state_dict().items()}, about

    @classmethod
    def restored(
        cls,
        state: Mapping[str, Tensor],
        about: Mapping[str, Any],
        device: str | torch.device = "cpu",
    ) -> "ClassifierSpace":
        """Return a classifier from what `state` gave.

        Raises:
            ValueError: it was made by another recipe, or its tensors are of other types.
            Exception: any, where `about` was not made by `state`.
        """
        if about["recipe"] not in RECIPES:
            known = ", ".join(map(str, RECIPES))
            raise ValueError(f"it was made by recipe {about['recipe']}; known are {known}")
        with torch.device("meta"):
            network = SmallClassifier(about["channels"], about["classes"])
        types = {name: tensor.dtype for name, tensor in network.state_dict().items()}
        if wrong := [name for name, tensor in state.items() if tensor.dtype != types.get(name)]:
            raise ValueError(f"of another type than the network's: {', '.join(wrong[:3])}")
        network.load_state_dict(state, assign=True)
        recipe = RECIPES[about["recipe"]]
        return cls(network.eval().requires_grad_(False), float(about["accuracy"]), device, recipe)
