"""The built-in priors of genes, `near` and `wide`: they follow from the islands' config.

`near` is for settings that are about right, `wide` for those that may be far off. Both draw around
the config's learning rates and Adam's first betas. How they treat the penalties of D is in the
table of docs/tournaments.md.
"""

from collections.abc import Callable, Mapping
from typing import Any

from egan.data.gaussians import GaussianMixture
from egan.discriminator import r1_by_rule
from fitness.suggestion import nearest
from runs.common.errors import ConfigError
from runs.config.schema import RunConfig
from runs.evaluation.held_out import source_of

Genes = dict[str, dict[str, Any]]  # as in a tournament's file
SMALLEST = 0.1  # the middle one of the weights of R1 and R2; for large images it is more
WASSERSTEIN = [0.1, 1.0, 10.0]  # weights of WGAN-GP's penalty; the published one is 10
REDRAW = 0.15


def built_in(name: str, base: RunConfig) -> Genes:
    """Return a built-in prior for the islands of a config.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in PRIORS:
        raise ConfigError(
            f"genes: no prior {str(name)!r}{nearest(name, PRIORS)} Priors: {', '.join(PRIORS)}; or "
            "a mapping of keys, such as {optimizer.learning_rate: {log: 0.3}}"
        )
    return PRIORS[name](base)


def near(base: RunConfig) -> Genes:
    """Return a prior around settings that are thought to be about right."""
    genes = _optimizer(base, {"log": 0.15, "start": 0.5}, {"linear": 0.05, "start": 0.15})
    weights = _weights(base)
    for name, weight in weights.items():
        if name == "r1" or weight:
            genes |= _around(name, weight, {"log": 0.3, "start": 1.0})
    return genes


def wide(base: RunConfig) -> Genes:
    """Return a prior for settings that may be far off; docs/tournaments.md has its trials."""
    genes = _optimizer(base, {"log": 0.3, "start": 1.0}, {"linear": 0.1, "start": 0.33})
    weights, step = _weights(base), {"log": 0.6, "start": 1.0}
    for name, values in _choices(base).items():
        if isinstance(weights[name], Mapping):  # a schedule
            genes |= _around(name, weights[name], step)
        elif isinstance(weights[name], str):
            genes[f"discriminator.{name}"] = {"choices": [weights[name], *values]}
        else:
            genes[f"discriminator.{name}"] = {**step, "from": values, "redraw": REDRAW}
    return genes


PRIORS: Mapping[str, Callable[[RunConfig], Genes]] = {"near": near, "wide": wide}


def _optimizer(base: RunConfig, rate: Mapping[str, Any], beta: Mapping[str, Any]) -> Genes:
    """Return genes of Adam's settings, with these steps and starts."""
    rates = ("learning_rate", "discriminator_learning_rate")
    betas = ["betas"] + ["discriminator_betas"] * (base.optimizer.discriminator_betas is not None)
    return {f"optimizer.{name}": dict(rate) for name in rates} | {
        f"optimizer.{name}.0": {**beta, "low": 0.0, "high": 0.95} for name in betas
    }


def _weights(base: RunConfig) -> dict[str, Any]:
    """Return the config's weights of penalties: a number, a schedule as a mapping, or auto."""
    values = base.discriminator.model_dump(mode="json")
    return {name: values[name] for name in ("r1", "r2", "gradient_penalty")}


def _around(name: str, weight: Any, step: Mapping[str, Any]) -> Genes:
    """Return genes around a weight: none around auto, one for each end of a schedule."""
    if isinstance(weight, str):
        return {}
    ends = (".from", ".to") if isinstance(weight, Mapping) else ("",)
    return {f"discriminator.{name}{end}": dict(step) for end in ends}


def _choices(base: RunConfig) -> dict[str, list[float]]:
    """Return the penalties that islands may begin with, and the weights of each."""
    loss = base.discriminator.loss
    # WGAN-GP's penalty is of single samples, which batch normalisation does not judge alone
    # (Gulrajani et al., 1704.00028, section 4).
    if loss == "wasserstein" and getattr(base.backbone, "discriminator_norm", None) != "batch":
        return {"gradient_penalty": WASSERSTEIN}
    middle = _middle(base)
    weights = [middle / 10, middle, 10 * middle]
    if loss != "relativistic":  # which diverges without both (Huang et al., 2501.05441, section 2)
        weights = [0.0, *weights]
    return {"r1": weights, "r2": weights}


def _middle(base: RunConfig) -> float:
    """Return the middle weight: StyleGAN2-ADA's rule, or more where images are small."""
    source = source_of(base)
    if isinstance(source, GaussianMixture):
        return SMALLEST
    batch = min(base.backbone.batches(base.population.batch).values())
    return max(SMALLEST, r1_by_rule(source.shape, batch))
