"""The presets: complete, readable configurations, one YAML file each."""

from runs.common.packaged import packaged_names, packaged_text


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    return packaged_names("runs.presets")


def preset_text(name: str) -> str:
    """Return a preset's YAML.

    Raises:
        ConfigError: there is no such preset; the message names the nearest one.
    """
    other = "the path of a YAML file; to train, also that of a folder or .zip of images"
    return packaged_text("runs.presets", name, "preset", "Presets", other)
