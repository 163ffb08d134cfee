from collections.abc import Callable

import pytest

from runs.common.errors import ConfigError
from runs.config.loading import load_config


@pytest.fixture(scope="session")
def refusal() -> Callable[..., str]:
    """Return the message that refuses these overrides, or this source."""

    def message(*overrides: str, source: str = "digits") -> str:
        with pytest.raises(ConfigError) as caught:
            load_config(source, overrides)
        return str(caught.value)

    return message
