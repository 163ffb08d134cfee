"""The studies that come with the package, one YAML file each."""

from importlib.resources import files

from runs.mistakes import ConfigError, nearest


def study_names() -> list[str]:
    """Return the names of the studies that come with the package."""
    entries = (entry.name for entry in files("runs.studies").iterdir())
    return sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml"))


def study_text(name: str) -> str:
    """Return a study's YAML.

    Raises:
        ConfigError: there is no such study; the message names the nearest one.
    """
    names = study_names()
    if name not in names:
        raise ConfigError(
            f"no study {name!r}{nearest(name, names)} Studies: {', '.join(names)}; "
            "or the path of a YAML file"
        )
    return (files("runs.studies") / f"{name}.yaml").read_text(encoding="utf-8")
