"""Checks of a run's record before the run begins, so that a mistake is reported at once."""

import os
import threading

from runs.common.addresses import sqlite_file, without_secrets
from runs.common.errors import ConfigError
from runs.config.schema import TrackingConfig
from runs.tracking.address import check_file, choose
from runs.tracking.client import VARIABLE, open_store
from runs.tracking.failures import is_refused, reason_of

PATIENCE = 10.0  # seconds that a store has for its answer; a slow one delays a start no longer


def check_store(config: TrackingConfig) -> None:
    """Refuse a record that its store would refuse; one that does not answer may do so later.

    Raises:
        ConfigError: the address is none, the driver is missing, the credentials are wrong.
    """
    if not config.enabled:
        return
    uri = choose(config.uri, os.environ.get(VARIABLE), None, "sqlite:///mlflow.db")
    check_file(uri)
    if sqlite_file(uri) is not None:
        return  # to open it takes seconds, and to make it more
    error = _ask(config)
    if error is not None and is_refused(error):
        raise ConfigError(
            f"MLflow's store {without_secrets(uri)} refuses the record: {reason_of(error)}. Put it "
            "right (tracking.uri, or MLFLOW_TRACKING_URI with its password), or go without the "
            "record: --set tracking.enabled=false"
        )


def _ask(config: TrackingConfig) -> BaseException | None:
    """Return why the store cannot be asked for the experiment; None: it can, or is slow."""
    found: list[BaseException] = []

    def ask() -> None:
        try:
            client, _ = open_store(config.uri)
            client.get_experiment_by_name(config.experiment)
        except Exception as error:  # MLflow and its stores raise anything
            found.append(error)

    thread = threading.Thread(target=ask, name="preflight", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return found[0] if found else None
