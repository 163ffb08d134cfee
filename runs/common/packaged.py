"""YAML files that come with the package, by name."""

from importlib.resources import files

from fitness.suggestion import nearest
from runs.common.errors import ConfigError


def packaged_names(package: str) -> list[str]:
    """Return the names of a package's YAML files, without their ending."""
    entries = (entry.name for entry in files(package).iterdir())
    return sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml"))


def packaged_text(
    package: str, name: str, kind: str, plural: str, other: str = "the path of a YAML file"
) -> str:
    """Return one file's YAML.

    `kind` and `plural` are what a message calls such files, and `other` what may be given besides.

    Raises:
        ConfigError: there is no such file; the message names the nearest one.
    """
    names = packaged_names(package)
    if name not in names:
        raise ConfigError(
            f"no {kind} {name!r}{nearest(name, names)} {plural}: {', '.join(names)}; or {other}"
        )
    return (files(package) / f"{name}.yaml").read_text(encoding="utf-8")
