"""The architecture's rules, read off the source: imports, randomness, pickle, code, sizes.

A rule is a function of one file that yields its violations; every test lists all of them at once.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("runs", "egan", "populations", "fitness")
MAY_IMPORT = {
    "run_evolution": {"runs", "populations"},
    "runs": {"runs", "egan", "populations", "fitness"},
    "egan": {"egan", "populations", "fitness"},
    "populations": {"populations"},
    "fitness": {"fitness"},
}
# The sub-packages of runs/: each may import those before it.
RUNS_ORDER = ("common", "config", "store", "sampling", "display", "tracking", "evaluation",
              "dissection", "translation", "explore", "export", "mirror", "training", "batch",
              "tournament", "study", "cli")  # fmt: skip
RUNS_DATA = ("presets", "studies")  # YAML files, read with the help of common/
HOMES = {
    "ray": ("populations/executors/ray/",),
    "mlflow": ("runs/tracking/",),
    "deap": ("populations/",),
    "pyarrow": ("runs/mirror/",),
    "onnx": ("runs/export/",),
    "onnxruntime": ("runs/export/",),
    "gradio": ("runs/explore/",),
    "torchvision": (),
}
HEAVY = {"torch", "ray", "mlflow"}

# numpy's generator machinery that has no global state.
NUMPY_RANDOM = {"Generator", "SeedSequence", "default_rng", "PCG64", "BitGenerator"}
GLOBAL_RANDOMNESS = {
    "torch.manual_seed",
    "torch.seed",
    "torch.set_rng_state",
    "torch.random.manual_seed",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "torch.rand_like",
    "torch.randn_like",
    "torch.randint_like",
}
# These draw from torch's global generator unless one is passed.
TORCH_DRAWS = {
    f"torch.{name}" for name in ("rand", "randn", "randint", "randperm", "normal", "bernoulli")
} | {"torch.multinomial"}
PICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FILE_MODULES = {"glob", "io", "os", "pathlib", "platformdirs", "safetensors", "shutil", "tempfile"}
FILE_CALLS = {
    "open",
    "hashlib.file_digest",
    "numpy.load",
    "numpy.savez",
    "torch.load",
    "torch.save",
}
CODE_RUNNERS = {"eval", "exec", "compile", "os.system", "os.popen"}

LONGEST = 400  # lines of a file that gives no reason
REASON = "Long because"  # how the reason's line begins, in the module's docstring


@dataclass(frozen=True)
class Source:
    """A Python file: its path from the repository's root, and its text."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.name)

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Line and name of every imported module, wherever in the file its import stands."""
        return list(imported(self.tree))

    @cached_property
    def calls(self) -> list[tuple[str, ast.Call]]:
        return list(calls(self.tree))


Rule = Callable[[Source], Iterator[str]]


def python_files(*folders: str) -> list[Source]:
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [
        Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in paths
    ]


CODE = [
    Source("run_evolution.py", (ROOT / "run_evolution.py").read_text(encoding="utf-8")),
    *python_files(*PACKAGES),
]


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for an attribute of a name, or ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        start = dotted(node.value)
        return f"{start}.{node.attr}" if start else ""
    return ""


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            # The name may be a module, too: `from runs import training`.
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and dotted(node.func).endswith("import_module"):
            argument = node.args[0]
            if isinstance(argument, ast.Constant):
                yield node.lineno, str(argument.value)


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call with its full dotted name, aliases of imports resolved."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    aliases[alias.asname] = alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := dotted(node.func)):
            first, dot, rest = name.partition(".")
            yield aliases.get(first, first) + dot + rest, node


def packages_point_one_way(source: Source) -> Iterator[str]:
    package = source.name.partition("/")[0].removesuffix(".py")
    for line, module in source.imports:
        top = module.partition(".")[0]
        if module.startswith("."):
            yield f"{line}: a relative import"
        elif top in MAY_IMPORT and top not in MAY_IMPORT[package]:
            yield f"{line}: {package} imports {module}"


def parts_of_runs_point_one_way(source: Source) -> Iterator[str]:
    """Import only what stands before in RUNS_ORDER, and data."""
    folders = source.name.split("/")
    if folders[0] != "runs" or len(folders) < 3:  # the door opens to everything
        return
    own = folders[1]
    if own not in RUNS_ORDER + RUNS_DATA:
        yield f"1: runs/{own} has no place in RUNS_ORDER"
        return
    if own in RUNS_DATA:
        allowed = {own, "common"}
    else:
        allowed = {*RUNS_ORDER[: RUNS_ORDER.index(own) + 1], *RUNS_DATA}
    for line, module in source.imports:
        parts = module.split(".")
        if parts[0] == "runs" and len(parts) > 1 and parts[1] not in allowed:
            yield f"{line}: runs/{own} imports {module}"


def only_the_door_is_in_the_root_of_runs(source: Source) -> Iterator[str]:
    folder, _, file = source.name.partition("/")
    if folder == "runs" and "/" not in file and file != "__init__.py":
        yield "1: belongs in a sub-package"


def heavy_libraries_stay_home(source: Source) -> Iterator[str]:
    for line, module in source.imports:
        homes = HOMES.get(module.partition(".")[0])
        if homes is not None and not source.name.startswith(homes):
            yield f"{line}: {module} belongs in {homes}"


def fitness_knows_no_files(source: Source) -> Iterator[str]:
    """Tensors in, numbers out."""
    if not source.name.startswith("fitness/"):
        return
    yield from (f"{n}: {m}" for n, m in source.imports if m.partition(".")[0] in FILE_MODULES)
    yield from (f"{call.lineno}: {name}" for name, call in source.calls if name in FILE_CALLS)


def fenced(tree: ast.Module) -> set[ast.AST]:
    """Return what stands inside `with torch.random.fork_rng()`, which puts the state back."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.With)
        and any(ast.unparse(item.context_expr) == "torch.random.fork_rng()" for item in node.items)
        for inner in ast.walk(node)
    }


def randomness_has_no_global_state(source: Source) -> Iterator[str]:
    yield from (
        f"{line}: Python's random module has global state"
        for line, module in source.imports
        if module.partition(".")[0] == "random"
    )
    allowed = fenced(source.tree)
    for name, call in source.calls:
        where = f"{call.lineno}: {name}"
        if name in GLOBAL_RANDOMNESS and call not in allowed:
            yield where
        for prefix in ("numpy.random.", "np.random."):
            rest = name.removeprefix(prefix).partition(".")[0]
            if name.startswith(prefix) and rest not in NUMPY_RANDOM:
                yield where
        if name.endswith("random.default_rng") and not call.args:
            yield f"{where} without a seed"
        if name in TORCH_DRAWS and all(word.arg != "generator" for word in call.keywords):
            yield f"{where} without a generator"


def nothing_is_pickled(source: Source) -> Iterator[str]:
    for line, module in source.imports:
        if module.partition(".")[0] in PICKLERS:
            yield f"{line}: {module}"
    for name, call in source.calls:
        words = {
            word.arg: word.value.value
            for word in call.keywords
            if isinstance(word.value, ast.Constant)
        }
        where = f"{call.lineno}: {name}"
        if name in ("torch.load", "torch.hub.load_state_dict_from_url"):
            if words.get("weights_only") is not True:
                yield f"{where} without weights_only=True"
        elif name in ("numpy.load", "np.load"):
            if words.get("allow_pickle", False) is not False:
                yield f"{where} with allow_pickle"
        elif name == "yaml.load":
            if [ast.unparse(word.value) for word in call.keywords] != ["_SafeLoader"]:
                yield f"{where} without the safe loader"
        elif name in ("yaml.unsafe_load", "yaml.full_load") or name.endswith(
            (".read_pickle", ".to_pickle")
        ):
            yield where


def no_text_is_run_as_code(source: Source) -> Iterator[str]:
    for name, call in source.calls:
        shell = any(word.arg == "shell" for word in call.keywords)
        if name in CODE_RUNNERS or (name.startswith("subprocess.") and shell):
            yield f"{call.lineno}: {name}"


def long_files_say_why(source: Source) -> Iterator[str]:
    count = source.text.count("\n")
    if count <= LONGEST:
        return
    reasons = (ast.get_docstring(source.tree) or "").splitlines()
    if not any(line.startswith(REASON) for line in reasons):
        yield f'1: {count} lines; split it, or say "{REASON} ..." in the docstring'


def violations(rule: Rule, sources: list[Source]) -> list[str]:
    return [f"{source.name}:{found}" for source in sources for found in rule(source)]


RULES_AND_BREACHES = [
    (packages_point_one_way, "egan/a.py", "from runs.cli import main"),
    (packages_point_one_way, "populations/a.py", "def f():\n    import fitness.scores"),
    (packages_point_one_way, "runs/cli/a.py", "from . import main"),
    (parts_of_runs_point_one_way, "runs/store/a.py", "from runs.training.driver import Run"),
    (parts_of_runs_point_one_way, "runs/store/a.py", "from runs import training"),
    (parts_of_runs_point_one_way, "runs/presets/__init__.py", "import runs.config.schema"),
    (parts_of_runs_point_one_way, "runs/odd/a.py", ""),
    (only_the_door_is_in_the_root_of_runs, "runs/driver.py", ""),
    (heavy_libraries_stay_home, "runs/training/a.py", "def f():\n    import mlflow.tracking"),
    (heavy_libraries_stay_home, "populations/a.py", "import_module('ray.util')"),
    (heavy_libraries_stay_home, "egan/a.py", "import torchvision"),
    (fitness_knows_no_files, "fitness/a.py", "from pathlib import Path"),
    (fitness_knows_no_files, "fitness/a.py", "open('a')"),
    (randomness_has_no_global_state, "egan/a.py", "from torch import manual_seed as s\ns(0)"),
    (randomness_has_no_global_state, "egan/a.py", "import numpy as np\nnp.random.seed(1)"),
    (randomness_has_no_global_state, "egan/a.py", "import numpy as n\nn.random.default_rng()"),
    (randomness_has_no_global_state, "egan/a.py", "import torch\ntorch.randn(3)"),
    (randomness_has_no_global_state, "egan/a.py", "import random"),
    (nothing_is_pickled, "egan/a.py", "import pickle"),
    (nothing_is_pickled, "egan/a.py", "import numpy as np\nnp.load('a', allow_pickle=True)"),
    (nothing_is_pickled, "egan/a.py", "import torch\ntorch.load('a')"),
    (nothing_is_pickled, "egan/a.py", "import yaml\nyaml.load('a', Loader=yaml.Loader)"),
    (nothing_is_pickled, "egan/a.py", "import yaml\nyaml.load('a', yaml.Loader)"),
    (no_text_is_run_as_code, "egan/a.py", "eval('1')"),
    (no_text_is_run_as_code, "egan/a.py", "import subprocess as s\ns.run('ls', shell=True)"),
    (long_files_say_why, "egan/a.py", '"""Short reasons."""\n' + "\n" * LONGEST),
]
RULES = dict.fromkeys(rule for rule, _, _ in RULES_AND_BREACHES if rule is not long_files_say_why)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_code_keeps_the_rule(rule):
    assert violations(rule, CODE) == []


def test_long_files_say_why():
    files = CODE + python_files("tests", "benchmarks", "examples")
    assert violations(long_files_say_why, files) == []


def test_every_rule_finds_what_it_forbids():
    missed = [
        (rule.__name__, text)
        for rule, name, text in RULES_AND_BREACHES
        if len(violations(rule, [Source(name, text)])) == 0
    ]
    assert missed == []


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (parts_of_runs_point_one_way, "runs/cli/a.py", "from runs.store import journal"),
        (parts_of_runs_point_one_way, "runs/__init__.py", "import runs.cli"),
        (packages_point_one_way, "egan/a.py", "import torch, populations.seeding"),
        (randomness_has_no_global_state, "egan/a.py",
         "import torch\nwith torch.random.fork_rng():\n    torch.manual_seed(0)"),
        (nothing_is_pickled, "egan/a.py", "import torch\ntorch.load('a', weights_only=True)"),
        (nothing_is_pickled, "a.py", "import yaml\nyaml.load('a', Loader=_SafeLoader)"),
        (long_files_say_why, "a.py", f'"""What.\n\n{REASON} it is.\n"""\n' + "\n" * LONGEST),
    ],
)  # fmt: skip
def test_rules_allow_what_they_should(rule, name, text):
    assert violations(rule, [Source(name, text)]) == []


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def modules_after(*arguments: str) -> set[str]:
    """Return what a fresh interpreter has imported at the end of a command."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = run(command)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


HELP = [[], ["train"], ["resume"], ["sample"], ["inspect"]]


@pytest.mark.process
@pytest.mark.parametrize("command", [*([*of, "--help"] for of in HELP), ["presets"]])
def test_help_and_the_list_of_presets_need_no_heavy_library(command):
    loaded = {module.partition(".")[0] for module in modules_after("run_evolution.py", *command)}
    assert "click" in loaded
    assert not loaded & (HEAVY | {"numpy", "pydantic", "matplotlib", "sklearn"})


@pytest.mark.process
@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("egan.engine", {"ray", "mlflow"}),
        ("runs.training.driver", {"ray", "mlflow"}),
        ("populations.selection", {"torch", "ray", "mlflow"}),
        ("populations.executors.ray.executor", {"torch", "mlflow"}),
        ("runs", HEAVY),
    ],
)
def test_the_core_is_imported_without_what_it_does_not_need(module, absent):
    code = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = run([sys.executable, "-c", code])
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & absent
