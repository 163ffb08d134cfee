"""The values of the config's keys that are `auto`."""

from egan.config import average_by_rule
from egan.discriminator import r1_by_rule
from egan.schedule import Schedule
from runs.common.errors import ConfigError
from runs.config.schema import RunConfig


def values_by_rule(config: RunConfig, shape: tuple[int, ...]) -> dict[str, float]:
    """Return the value of every `auto` of a config by key, for samples of `shape`.

    Networks that grow follow the rule at each stage; the values are those of the last one.

    Raises:
        ConfigError: a rule does not fit the data.
    """
    batch = Schedule.counting(config).batch(config.generations)
    values = {}
    if config.discriminator.r1 == "auto":
        try:
            values["discriminator.r1"] = r1_by_rule(shape, batch)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    if config.population.average_kimg == "auto":
        values["population.average_kimg"] = average_by_rule(batch)
    return values
