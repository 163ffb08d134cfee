"""The pool of earlier fakes that critics are trained on beside new ones; a part of the state.

Shrivastava et al., arXiv 1612.07828, section 2.3, as in CycleGAN (1703.10593): the pool is filled
first; then, with probability 1/2, a fake changes places with a stored one.
"""

import torch
from torch import Tensor


def replayed(
    pool: Tensor, filled: int, fakes: Tensor, stream: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the fakes that a critic is trained on (N, ...), and the pool (K, ...) afterwards.

    The first `filled` places of the pool are taken. Nothing is changed in place.
    """
    size = len(pool)
    kept = list(pool)
    swaps = (torch.rand(len(fakes), generator=stream) < 0.5).tolist()
    places = torch.randint(size, (len(fakes),), generator=stream).tolist()
    seen = []
    for fake, swap, place in zip(fakes, swaps, places, strict=True):
        if filled < size:
            kept[filled] = fake
            filled += 1
            seen.append(fake)
        elif swap:
            seen.append(kept[place])
            kept[place] = fake
        else:
            seen.append(fake)
    return torch.stack(seen), torch.stack(kept)
