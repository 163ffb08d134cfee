"""The studies that come with the package, one YAML file each."""

from runs.common.packaged import packaged_names, packaged_text


def study_names() -> list[str]:
    """Return the names of the studies that come with the package."""
    return packaged_names("runs.studies")


def study_text(name: str) -> str:
    """Return a study's YAML.

    Raises:
        ConfigError: there is no such study; the message names the nearest one.
    """
    return packaged_text("runs.studies", name, "study", "Studies")
