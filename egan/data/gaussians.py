"""Mixtures of two-dimensional Gaussians: the standard test for lost modes.

Centres and spreads as in VEEGAN (Srivastava et al., arXiv 1705.07761) and PacGAN (Lin et al.,
arXiv 1712.04086, section 4.1; fjxmlzn/PacGAN, synthetic_data_experiments/*/config.py). Points keep
these published coordinates in the game: nothing is scaled to [-1, 1].
"""

import hashlib
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from egan.data.config import GaussiansConfig
from egan.data.source import Origin


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """An endless source: equally likely round Gaussians.

    Attributes:
        name: "ring8" or "grid25".
        centres: (K, 2) float64, the modes' means.
        sigma: every mode's standard deviation along each axis.
    """

    name: str
    centres: np.ndarray
    sigma: float

    kind: ClassVar[Literal["points"]] = "points"
    shape: ClassVar[tuple[int, ...]] = (2,)
    length: ClassVar[None] = None  # endless
    labels: ClassVar[None] = None  # a draw brings its own: the mode of each point
    classes: ClassVar[None] = None
    tags: ClassVar[None] = None
    tag_names: ClassVar[None] = None
    flip: ClassVar[bool] = False
    skipped: ClassVar[tuple[tuple[str, str], ...]] = ()
    origin: ClassVar[Origin] = Origin("the mode of each point")

    @property
    def fingerprint(self) -> str:
        """A hash of the centres and sigma."""
        content = np.append(self.centres.ravel(), self.sigma).astype("<f8")
        return hashlib.sha256(content.tobytes()).hexdigest()

    def sample(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return `count` points, float32 (count, 2), and their modes, int64 (count,)."""
        modes = generator.integers(len(self.centres), size=count)
        noise = generator.standard_normal((count, 2))
        points = self.centres[modes] + self.sigma * noise
        return points.astype(np.float32), modes


def ring_centres(modes: int = 8, radius: float = 1.0) -> np.ndarray:
    """Return (modes, 2) centres: mu_i = radius (cos 2 pi i / modes, sin 2 pi i / modes)."""
    angles = 2 * np.pi * np.arange(modes) / modes
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def grid_centres(side: int = 5, spacing: float = 2.0) -> np.ndarray:
    """Return (side^2, 2) centres: mu_ij = (-4 + 2 i, -4 + 2 j) for the 5 x 5 grid."""
    axis = spacing * (np.arange(side) - (side - 1) / 2)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)


def open_gaussians(config: GaussiansConfig) -> GaussianMixture:
    """Return the mixture; sigma 0.01 (variance 1e-4) on the ring, 0.05 (0.0025) on the grid."""
    centres, published = {
        "ring8": (ring_centres(), 0.01),
        "grid25": (grid_centres(), 0.05),
    }[config.modes]
    sigma = published if config.sigma is None else config.sigma
    return GaussianMixture(config.modes, centres, sigma)
