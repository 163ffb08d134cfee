"""Scores of a translator while its run evolves, on the images that judge its children.

Nothing was trained on them. But children were selected by them, so the test part alone says how
good the run is in the end.
"""

from collections.abc import Iterable
from dataclasses import replace

from egan.data.pairs import PairSource
from fitness.metrics.names import expand_metrics
from runs.common.errors import ConfigError
from runs.sampling.translator import Translator
from runs.translation.comparing import KID, compared, is_large_enough, space_opener, values_of
from runs.translation.part_scores import PartScores
from runs.translation.parts import held_out_of


class HeldOut:
    """Scores translators on the images that are held out, always the same ones.

    Attributes:
        device: where they are translated.
    """

    def __init__(
        self,
        source: PairSource,
        shapes: Iterable[tuple[int, ...]],
        metrics: Iterable[str],
        space: str,
        count: int,
        seed: int,
        device: str,
        parts: PartScores | None = None,
    ) -> None:
        """Take the first `count` images that are held out, or all.

        Args:
            source: the training part.
            shapes: of the translations, (C, H, W).
            metrics: short names or groups.
            space: the feature space of KID.
            count: how many images are translated each way.
            seed: of dropout, where it is on.
            device: where images are translated.
            parts: computes the metrics of parts, where some are among the metrics.

        Raises:
            ConfigError: no images are held out, or metrics, space and images do not fit.
        """
        self.device = device
        self._parts = parts
        self._metrics, self._seed = expand_metrics(metrics), seed
        images = held_out_of(source)
        self._images = replace(images, a=images.a[:count], b=images.b[:count])
        for metric in self._metrics:
            if not is_large_enough(metric, source.size):
                raise ConfigError(
                    f"evaluation.metrics: {metric} needs larger images than "
                    f"{' x '.join(map(str, source.size))}"
                )
        self._space_for = space_opener(space, None, device)
        if KID in self._metrics:
            for shape in shapes:
                self._space_for(shape)  # refused now, not at a scoring

    def __call__(self, translator: Translator) -> dict[str, float]:
        """Return the metrics of a translator by full name."""
        ways = compared(translator.to(self.device), self._images, self._seed)
        values = values_of(ways, self._metrics, self._space_for)
        if self._parts is not None:
            values |= self._parts(ways, self._metrics)
        return values
