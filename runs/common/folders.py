"""What a folder of this program holds: a run, a study or a tournament."""

from pathlib import Path

from runs.common.errors import ConfigError
from runs.common.hints import hint

KINDS = {  # by the file that makes it so: what it holds, and the command that goes on with it
    "study.yaml": ("study", "study"),
    "tournament.yaml": ("tournament", "tournament"),
    "config.yaml": ("run", "resume"),
}


def refuse_another(path: Path, wanted: str) -> None:
    """Refuse a folder that holds something of this program that is not `wanted`.

    Raises:
        ConfigError: names what it holds, and the command for that.
    """
    for name, (kind, command) in KINDS.items():
        if (path / name).is_file():
            if kind != wanted:
                raise ConfigError(
                    f"{path} is a {kind}'s folder, not a {wanted}'s. Go on with it: "
                    f"{hint(command, path)}"
                )
            return
