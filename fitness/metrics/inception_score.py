"""The inception score.

Salimans et al., *Improved Techniques for Training GANs*, arXiv 1606.03498.
"""

import numpy as np
import torch
from torch import Tensor

from fitness.metrics.names import SPLITS


class InceptionScore:
    """exp E_x KL(p(y|x) || p(y)) over a stream of logits, averaged over random parts of the set.

    Which part an image belongs to is drawn beforehand from `seed`; so only two sums per part are
    kept, and images sorted by class do no harm.

    Args:
        count: how many images will come.
        classes: K, the number of logits.
        seed: of the division into parts.
        splits: number of parts, 10 in the paper.

    Raises:
        ValueError: fewer images than parts.
    """

    def __init__(
        self,
        count: int,
        classes: int,
        *,
        seed: int,
        splits: int = SPLITS,
        device: str | torch.device = "cpu",
    ) -> None:
        if count < splits:
            raise ValueError(f"the inception score needs at least {splits} images; {count} asked")
        order = np.random.default_rng(seed).permutation(count)
        self.part = torch.from_numpy(order % splits).to(device)
        self.seen = 0
        self.marginal = torch.zeros((splits, classes), dtype=torch.float64, device=device)
        self.negentropy = torch.zeros(splits, dtype=torch.float64, device=device)

    def update(self, logits: Tensor) -> None:
        """Take in logits (N, K).

        Raises:
            ValueError: a logit is not finite, or more images came than were announced.
        """
        if not torch.isfinite(logits).all():
            raise ValueError("logits for the inception score hold NaN or infinite numbers")
        if self.seen + len(logits) > len(self.part):
            raise ValueError(f"more than the {len(self.part)} images announced arrived")
        part = self.part[self.seen : self.seen + len(logits)]
        log_p = logits.double().log_softmax(dim=1)
        p = log_p.exp()
        self.marginal.index_add_(0, part, p)
        self.negentropy.index_add_(0, part, (p * log_p).sum(dim=1))
        self.seen += len(logits)

    def result(self) -> tuple[float, float]:
        """Mean and standard deviation over the parts.

        Raises:
            ValueError: fewer images came than were announced.
        """
        if self.seen < len(self.part):
            raise ValueError(f"{self.seen} of the {len(self.part)} images announced arrived")
        sizes = torch.bincount(self.part).double()
        marginal = self.marginal / sizes[:, None]
        # E KL(p || m) = E sum p log p - sum m log m
        divergence = self.negentropy / sizes - torch.xlogy(marginal, marginal).sum(dim=1)
        scores = divergence.exp()
        return float(scores.mean()), float(scores.std(correction=0))
