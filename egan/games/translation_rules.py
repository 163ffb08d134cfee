"""What belongs to the games of image translation and not to a network."""

from typing import Literal

from pydantic import BaseModel, Field

from egan.discriminator import Weight


class TranslationRules(BaseModel, extra="forbid", frozen=True):
    """The losses that all children descend beside the adversarial one, and the direction."""

    direction: Literal["AtoB", "BtoA"] = Field(
        "AtoB", description="which way pairs are translated; two sets are translated both ways"
    )
    l1: Weight = Field(100.0, description="of the distance to the partner, for pairs")
    cycle: Weight = Field(10.0, description="of the distance there and back, for two sets")
    identity: Weight | None = Field(
        None,
        description="of the change to an image that is of the target set already, times cycle; "
        "null: 0.5, or 0 where A and B have not as many channels",
    )
    pool: int = Field(
        50, ge=0, le=10_000, description="earlier fakes of each set that critics see again"
    )
