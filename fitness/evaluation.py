"""Several metrics from one pass over the images: observe each side once, then compare."""

from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor

from fitness.comparison import compare, real_side
from fitness.features.base import FeatureSpace, Progress
from fitness.metrics.names import METRICS, expand_metrics
from fitness.metrics.ssim import check_side
from fitness.observation import Observation, check_metrics, needs_of, observe, observe_real
from fitness.statistics import Statistics


def evaluate_images(
    real: Iterable[Tensor] | Observation | Statistics | None,
    fake: Iterable[Tensor],
    metrics: Iterable[str],
    space: FeatureSpace,
    *,
    count: int,
    real_count: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Score generated images, by any number of metrics, in one pass over each side.

    Args:
        real: batches of uint8 (N, C, H, W); or what `observe_real` made of them; or
            statistics from a file, for `fid` alone; or None where no metric looks at them.
        fake: batches of uint8 (N, C, H, W).
        metrics: short names or groups: `("fid", "kid", "prdc", "is")`.
        space: the feature space.
        count: how many generated images.
        real_count: how many real images, if not `count`; ignored where `real` was observed.
        seed: of the inception score's parts and the choice of pairs.
        progress: called as `progress(stage, done, total)`.

    Returns:
        Values by full name (`MetricName`), in the order of `metrics`.

    Raises:
        ValueError: an unknown metric, too few images, images of unequal shapes, values that are not
            finite, statistics of another space, or a metric that the space or `real` cannot
            serve.
    """
    metrics = expand_metrics(metrics)
    reals = real.count if isinstance(real, Observation) else real_count or count
    check_metrics(metrics, space, (count, reals))
    if real is not None and not isinstance(real, Observation | Statistics):
        real = _observed(real, space, metrics, reals, progress)
    seen = real_side(real, metrics, space)
    made = observe(
        _checked_sides(fake, metrics),
        space,
        count,
        needs_of(metrics, real=False),
        seed=seed,
        shape=(seen.shape or None) if seen else None,
        stage="generated images",
        progress=progress,
    )
    return compare(seen, made, metrics, progress)


def _observed(
    real: Iterable[Tensor],
    space: FeatureSpace,
    metrics: Sequence[str],
    count: int,
    progress: Progress | None,
) -> Observation | None:
    if not any(METRICS[name].against_real for name in metrics):
        return None
    return observe_real(real, space, metrics, count, progress=progress)


def _checked_sides(batches: Iterable[Tensor], metrics: Sequence[str]) -> Iterator[Tensor]:
    """The same stream, stopped at once by images too small for a similarity's window."""
    for batch in batches:
        for name in metrics:
            if METRICS[name].need == "pairs":
                check_side(name, tuple(batch.shape[1:]))
        yield batch
