"""Search settings with Ray Tune's ASHA, logged by MLflow's callback: python examples/ray_tune.py.

ASHA (Li et al., arXiv 1810.05934) starts many trials and stops the worse ones early, as their
reports arrive. So it uses any search algorithm of Ray's, and every idle core; but which trials are
stopped depends on the clock, so the same search never comes again. `run-evolution tournament` has
few settings to choose, copies whole states between runs, and gives the same bits again.
"""

import argparse
import os
from pathlib import Path

from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler

from runs import evolve, load_config, resume
from runs.store.folder import RunFolder
from runs.store.journal import Scoring, read_journal

SPACE = {  # by the config's key
    "optimizer.learning_rate": tune.loguniform(3e-4, 3e-2),
    "discriminator.r1": tune.choice([0.0, 0.01, 0.1, 1.0]),
    "discriminator.r2": tune.choice([0.0, 0.01, 0.1, 1.0]),
}


def trial(settings: dict, preset: str, metric: str, step: int, generations: int) -> None:
    """Evolve a run in the trial's own folder; score and report it every `step` generations."""
    folder = Path(tune.get_context().get_trial_dir()) / "run"
    overrides = [f"{key}={value}" for key, value in settings.items()]
    for end in range(step, generations + 1, step):
        if RunFolder(folder).config.is_file():
            resume(folder, end, pictures=False)
        else:
            config = load_config(
                preset,
                overrides,
                generations=end,
                evaluation__every=step,
                tracking__enabled=False,  # Tune's callback logs the trials
                execution__executor="local",
            )
            evolve(config, folder)
        last = [line for line in read_journal(RunFolder(folder).journal)
                if isinstance(line, Scoring)][-1]  # fmt: skip
        values = {name.partition("-pixels")[0]: value for name, value in last.values.items()}
        tune.report({metric: values[metric], "generation": end, **values})


def main() -> None:
    """Run the search, and print the best settings."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--preset", default="gaussians25-bad")
    options.add_argument(
        "--metric", default="kl", help="of the preset's evaluation; less is better"
    )
    options.add_argument("--samples", type=int, default=16, help="how many trials begin")
    options.add_argument("--step", type=int, default=1000, help="generations between reports")
    options.add_argument("--generations", type=int, default=16000, help="of a trial at most")
    options.add_argument("--store", help="MLflow's store; by default MLFLOW_TRACKING_URI")
    options.add_argument("--output", type=Path, default=Path("outputs/tune"))
    given = options.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    trainable = tune.with_parameters(
        trial,
        preset=given.preset,
        metric=given.metric,
        step=given.step,
        generations=given.generations,
    )
    results = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space=SPACE,
        tune_config=tune.TuneConfig(
            metric=given.metric,
            mode="min",
            num_samples=given.samples,
            scheduler=ASHAScheduler(
                time_attr="generation",
                max_t=given.generations,
                grace_period=given.step,
                reduction_factor=2,
            ),
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(given.output.absolute()),
            callbacks=[MLflowLoggerCallback(given.store, experiment_name="tune")],
        ),
    ).fit()
    best = results.get_best_result()
    print(f"best {given.metric}: {best.metrics[given.metric]:.4g} in {best.path}/run")
    for key, value in best.config.items():
        print(f"  --set {key}={value:.4g}")


if __name__ == "__main__":
    main()
