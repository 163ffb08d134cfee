"""Whether translations of part masks show these parts, as a segmenter sees them."""

from collections.abc import Iterable, Sequence

import torch

from egan.data.avatar_pairs import parts_of
from egan.data.config import DataConfig
from egan.data.pair_config import AvatarsPartsConfig
from fitness.features import Progress
from fitness.metrics.names import GROUPS, MetricName
from fitness.metrics.parts import agreement
from runs.common.errors import ConfigError
from runs.dissection.part_segmenter import part_segmenter
from runs.translation.comparing import CHUNK, Compared

PARTS = GROUPS["parts"]


class PartScores:
    """Scores ways of translation from masks to pictures, or back."""

    def __init__(
        self,
        data: DataConfig,
        backwards: bool,
        device: str | torch.device,
        progress: Progress | None = None,
    ) -> None:
        """Make the segmenter ready; the first time in a cache's life it is trained, in minutes.

        Raises:
            ConfigError: the data have no masks of parts.
            DataError: the packages that draw avatars are not installed.
        """
        if not isinstance(data, AvatarsPartsConfig):
            raise ConfigError(
                f"{', '.join(PARTS)} are of data.source=avatars-parts; this is {data.source}"
            )
        self._segmenter = part_segmenter(data.style, data.size[0], device, progress)
        self._backwards = backwards
        self._device = device

    def __call__(self, ways: Iterable[Compared], metrics: Sequence[str]) -> dict[str, float]:
        """Return those of the metrics that are of parts, by full name, where parts are known."""
        return {
            str(MetricName(name, self._segmenter.name, len(way.made), way=way.name)): value
            for way in ways
            for name, value in self._agreement(way).items()
            if name in metrics
        }

    def _agreement(self, way: Compared) -> dict[str, float]:
        classes = len(self._segmenter.classes)
        if way.name == "a-to-b" or (not way.name and not self._backwards):
            seen, wanted = self._seen(torch.from_numpy(way.made)), parts_of(way.given, classes)
        elif way.name in ("", "b-to-a") and way.wanted is not None:
            seen, wanted = (
                torch.from_numpy(parts_of(way.made, classes)),
                parts_of(way.wanted, classes),
            )
        else:
            return {}
        return agreement(seen, torch.from_numpy(wanted), classes)

    def _seen(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the parts (N, H, W) that the segmenter sees in uint8 pictures (N, 3, H, W)."""
        parts = [
            self._segmenter.masks(part.to(self._device).float() / 127.5 - 1).int().argmax(1).cpu()
            for part in torch.split(pictures, CHUNK)
        ]
        return torch.cat(parts)
