"""Settings that belong to the games of image translation and not to a network."""

from typing import Literal

from pydantic import BaseModel, Field

from egan.discriminator import Weight


class TranslationRules(BaseModel, extra="forbid", frozen=True):
    """The losses that all children descend beside the adversarial one, and the direction."""

    direction: Literal["AtoB", "BtoA"] = Field(
        "AtoB",
        description="direction in which pairs are translated; two sets are translated in both",
    )
    l1: Weight = Field(
        100.0, description="weight of the L1 distance to the target image, for pairs"
    )
    cycle: Weight = Field(
        10.0,
        description="weight of the L1 distance between an image and its translation there and "
        "back, for two sets",
    )
    identity: Weight | None = Field(
        None,
        description="weight, relative to cycle, of the change to an image that is in the target "
        "set already; null: 0.5, or 0 where A and B differ in channels",
    )
    pool: int = Field(
        50,
        ge=0,
        le=10_000,
        description="pool size: the number of earlier fakes of each set that critics are trained "
        "on beside new ones",
    )
