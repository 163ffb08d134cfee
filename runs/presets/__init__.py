"""The presets: complete, readable configurations, one YAML file each."""

from importlib.resources import files

from runs.mistakes import ConfigError, nearest


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    entries = (entry.name for entry in files("runs.presets").iterdir())
    return sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """Return a preset's YAML.

    Raises:
        ConfigError: there is no such preset; the message names the nearest one.
    """
    names = preset_names()
    if name not in names:
        raise ConfigError(
            f"no preset {name!r}{nearest(name, names)} Presets: {', '.join(names)}; "
            "or the path of a YAML file"
        )
    return (files("runs.presets") / f"{name}.yaml").read_text(encoding="utf-8")
