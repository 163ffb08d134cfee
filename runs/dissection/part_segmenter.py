"""The segmenter of avatars' parts, trained once and kept in the user's cache."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from egan.cache import keep, recall
from egan.data.avatar_parts import avatar_parts
from egan.data.avatars import recalled
from egan.data.config import AvatarsConfig
from egan.files import saving_tensors
from fitness.digest import digest
from fitness.features import Progress
from fitness.segmenters.parts import RECIPE, PartSegmenter

DRAWN = 2000  # avatars that it learns from, a tenth of which is held out
ABOUT = "segmenter"  # the key of a file's metadata


def part_segmenter(
    style: str,
    resolution: int,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> PartSegmenter:
    """Return the segmenter of a style's parts: from the cache, or trained now, in some minutes.

    Raises:
        DataError: the packages that draw avatars are not installed.
    """
    config = AvatarsConfig.model_validate(
        {"style": style, "resolution": resolution, "count": DRAWN}
    )
    drawn, parts = recalled(config), avatar_parts(config)
    images, masks = torch.tensor(drawn.images), torch.tensor(parts.masks)
    name = f"segmenter-{digest('parts', RECIPE, images, masks, *parts.names)[:16]}.safetensors"
    found = recall(name, lambda path: load_segmenter(path, device))
    if found is None:
        found = PartSegmenter.trained(images, masks, parts.names, device=device, progress=progress)
        keep(name, lambda path: save_segmenter(found, path))
    return found


def save_segmenter(segmenter: PartSegmenter, path: Path) -> None:
    """Write a segmenter's weights and what made them."""
    state, about = segmenter.state()
    with saving_tensors(path):
        save_file(state, path, {ABOUT: json.dumps(about)})


def load_segmenter(path: Path, device: str | torch.device = "cpu") -> PartSegmenter:
    """Return a segmenter that `save_segmenter` wrote.

    Raises:
        ValueError: the file is damaged, or another recipe made it.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[ABOUT])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return PartSegmenter.restored(state, about, device)
    except Exception as error:  # any JSON and any tensors may stand there
        raise ValueError(f"it holds no segmenter: {error}") from error
