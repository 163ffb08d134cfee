"""The config's section `game`: settings that belong to a game and not to a network."""

from pydantic import Field

from egan.discriminator import Weight
from egan.games.translation_rules import TranslationRules


class GameRules(TranslationRules, extra="forbid", frozen=True):
    """Losses beside the adversarial one, the fading in of conditions, settings of translation."""

    ac_weight: Weight = Field(
        0.0,
        description="weight of AC-GAN's classification loss: D predicts the condition and is not "
        "given it, and generators are trained so that D predicts theirs; needs "
        "data.condition",
    )
    condition_ramp: int = Field(
        0,
        ge=0,
        le=10**12,
        description="images shown to D while conditions change linearly from the mean of all, "
        "which carries no information, to each sample's own; helps with few data; "
        "needs data.condition",
    )
    gradient_ratio: bool = Field(
        True,
        description="record the ratio of the adversarial gradient to that of the fixed losses, for "
        "which both are differentiated apart; false: their sum is differentiated, which is "
        "faster under one mutation, and gives other bits",
    )
