"""What a run makes of weights that it takes from elsewhere: a parent run's, or a first parent's.

Weights of the right shapes fit, although the config's networks may compute something else of them.
"""

from egan.backbones import Backbone
from runs.config.differences import differences, shown
from runs.config.schema import RunConfig
from runs.sampling.generators import backbone_beside

# Keys that do not change what the same weights compute. They set sizes, and those are compared by
# themselves; or they say how networks are begun, trained or recomputed.
INERT = {"condition", "fmap_base", "fmap_max", "downs", "blocks"}
INERT |= {"constant", "gain", "growth", "checkpoint", "mixing", "mean_decay"}
INERT |= {"path_weight", "path_every", "critic_layers", "discriminator_width"}
OF_CRITICS = {"discriminator", "discriminator_norm", "stddev_group"}
OF_CRITICS |= {"critic_width", "maxout_units", "pieces"}


def note_on_fork(former: Backbone, now: Backbone) -> str | None:
    """Return a line on what a parent run's networks computed otherwise; None: nothing."""
    return _note("the parent's networks", former, now, set())


def note_on_first_parent(config: RunConfig) -> str | None:
    """Return a line on what the first parent computed otherwise, where its file says so."""
    first = config.population.first_parent
    former = None if first is None else backbone_beside(first.path)
    if former is None:
        return None
    return _note("the first parent", former, config.backbone, OF_CRITICS)


def _note(whose: str, former: Backbone, now: Backbone, unused: set[str]) -> str | None:
    exclude = INERT | unused
    one, other = (each.model_dump(mode="json", exclude=exclude) for each in (former, now))
    found = list(differences(one, other, "backbone"))
    if not found:
        return None
    keys = "; ".join(f"{key}: {shown(there)}, here {shown(here)}" for key, there, here in found)
    judges = all(key.removeprefix("backbone.") in OF_CRITICS for key, _, _ in found)
    does = "judge otherwise" if judges else "make other samples"
    return f"note: {whose} had {keys}: the same weights {does}"
