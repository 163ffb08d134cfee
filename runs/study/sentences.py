"""What a comparison has found, as a person says it."""

import math

import numpy as np

from runs.study.comparison import Comparison, MetricComparison
from runs.study.statistics import POWER, Pair


def sentence(pair: Pair, metric: MetricComparison) -> str:
    """Return a pair's result as a person says it."""
    names = f"{pair.one} against {pair.other}"
    if pair.p is None or pair.effect is None or pair.holm is None:
        return f"{names}: nothing to compare, one of them has no result."
    seeds = f"{pair.n} seed{'' if pair.n == 1 else 's'}"
    found = f"A = {pair.effect:.2f}, p = {pair.holm:.2g}"
    if pair.differs():
        better, worse = (pair.one, pair.other) if pair.effect > 0.5 else (pair.other, pair.one)
        return f"{names}: {better} is better than {worse} with {seeds} ({found})."
    if pair.detectable is None:
        could = "with so few, no difference, however large, could have been found"
    else:
        could = f"a difference of A >= {math.ceil(pair.detectable * 100) / 100:.2f} would have been"
        could += f" seen ({POWER:.0%} of the time)"
    return f"{names}: no difference found with {seeds} ({found}); {could}."


def answer(comparison: Comparison) -> list[str]:
    """Return the answer to "which strategy is better, and does evolution help": a few sentences."""
    metric = comparison.metrics[0]
    sentences = []
    if metric.ranking:
        best = metric.ranking[0]
        listed = ", ".join(f"{name} {metric.summaries[name].median:.4g}" for name in metric.ranking)
        way = "higher" if metric.higher_is_better else "lower"
        sentences.append(f"By the median of {metric.metric} ({way} is better): {listed}.")
        if comparison.control is None:
            sentences.append(_about_the_best(best, metric))
        elif parts := _against_others(comparison.control, metric):
            sentences.append(f"{comparison.control} is {parts}.")
        if metric.pairs and all(pair.detectable is None for pair in metric.pairs):
            sentences.append(
                "With so few seeds no difference, however large, could have been found: this is a "
                "first look, not a result."
            )
    sentences += _about_evolution(comparison, metric)
    return sentences


def _about_the_best(best: str, metric: MetricComparison) -> str:
    pairs = [p for p in metric.pairs if best in (p.one, p.other) and p.p is not None]
    rivals = [pair.other if pair.one == best else pair.one for pair in pairs]
    beaten = [rival for pair, rival in zip(pairs, rivals, strict=True) if pair.differs()]
    if not pairs:
        return "No other strategy has results, so there is nothing to compare it with."
    if len(beaten) == len(pairs):
        return f"{best} is better than every other strategy, beyond chance."
    rest = [rival for rival in rivals if rival not in beaten]
    if not beaten:
        return f"No difference between {best} and {', '.join(rest)} was found beyond chance."
    return (
        f"{best} is better than {', '.join(beaten)} beyond chance; between {best} and "
        f"{', '.join(rest)} no difference was found."
    )


def _about_evolution(comparison: Comparison, metric: MetricComparison) -> list[str]:
    """Say whether evolution beats its controls, and what it cost."""
    if "evolution" not in metric.summaries:
        return []
    said = []
    if comparison.control != "evolution" and (parts := _against_others("evolution", metric)):
        said.append(f"Does evolution help? Evolution is {parts}.")
    price = _price(comparison)
    return said + ([price] if price else [])


def _against_others(name: str, metric: MetricComparison) -> str:
    """Return what a strategy is better and worse than; nothing if it was not compared."""
    found: dict[str, list[str]] = {
        "better than": [],
        "worse than": [],
        "not found to differ from": [],
    }
    for pair in metric.pairs:
        if name not in (pair.one, pair.other) or pair.effect is None or pair.p is None:
            continue
        better = (pair.effect > 0.5) == (pair.one == name)
        how = (
            ("better than" if better else "worse than")
            if pair.differs()
            else "not found to differ from"
        )
        found[how].append(pair.other if pair.one == name else pair.one)
    return "; ".join(f"{how} {', '.join(others)}" for how, others in found.items() if others)


def _price(comparison: Comparison) -> str | None:
    """Return what evolution spends in a generation, next to its cheapest control."""
    spent: dict[str, dict[str, float]] = {}
    for name in comparison.strategies:
        ends = [r.points[-1] for r in comparison.records if r.strategy == name and r.points]
        if ends:
            spent[name] = {
                axis: float(np.median([p.spent[axis] / p.generation for p in ends]))
                for axis in ("generator_steps", "seconds")
            }
    controls = [name for name in spent if name != "evolution"]
    if "evolution" not in spent or not controls:
        return None
    cheapest = min(controls, key=lambda name: spent[name]["seconds"])
    ratio = {
        axis: spent["evolution"][axis] / max(spent[cheapest][axis], 1e-12)
        for axis in ("generator_steps", "seconds")
    }
    return (
        f"A generation of evolution takes {ratio['generator_steps']:.3g} times the generator steps "
        f"and {ratio['seconds']:.2g} times the time of one of {cheapest}."
    )
