"""The command line of the evolutionary GAN engine: see `run-evolution --help`."""

from runs.cli.main import main

if __name__ == "__main__":
    main(prog_name="run_evolution.py")
