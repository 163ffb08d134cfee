"""What belongs to a game and not to a network: the config's section `game`."""

from pydantic import Field

from egan.discriminator import Weight
from egan.games.translation_rules import TranslationRules


class GameRules(TranslationRules, extra="forbid", frozen=True):
    """Losses beside the adversarial one, how conditions come in, and what translation asks for."""

    ac_weight: Weight = Field(
        0.0,
        description="of AC-GAN's classification loss: D says the condition in place of being told "
        "it, and generators are trained to be recognised; for data.condition",
    )
    condition_ramp: int = Field(
        0,
        ge=0,
        le=10**12,
        description="images shown to D while conditions fade in, from the mean of all, which tells "
        "nothing, to each sample's own; for data.condition, where data are few",
    )
