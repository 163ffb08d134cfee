"""Evolve with a mutation of your own beside two of the paper's: python examples/own_mutation.py."""

import torch

from egan.mutations import mutation
from runs import evolve, load_config
from runs.display.progress import progress_for_terminal


@mutation
def softened_heuristic(logits: torch.Tensor) -> torch.Tensor:
    """Raise D(G(z)) towards 0.9, not 1: binary cross-entropy against a smoothed label."""
    target = torch.full_like(logits, 0.9)
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, target)


if __name__ == "__main__":
    config = load_config(
        "gaussians8",
        population__mutations=["minimax", "heuristic", "softened_heuristic"],
        generations=2000,
    )
    result = evolve(config, progress=progress_for_terminal())
    print(f"see {result.path}/plots/wins.png for how often it won")
