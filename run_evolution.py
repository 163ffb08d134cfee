"""The command line of the evolutionary GAN engine: see `run-evolution --help`."""

from runs.cli.main import main as command
from runs.common.signals import keep_status


def main(name: str | None = None) -> None:
    """Run the command, with a status that no signal changes once it is known."""
    try:
        command(prog_name=name)
    except SystemExit as end:
        keep_status(end.code if isinstance(end.code, int) else 1 if end.code else 0)
        raise


if __name__ == "__main__":
    main("run_evolution.py")
