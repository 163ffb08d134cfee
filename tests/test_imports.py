"""The architecture's rules, read off the source: imports, randomness, pickle."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "run_evolution": {"runs"},
    "runs": {"runs", "egan", "populations", "fitness"},
    "egan": {"egan", "populations", "fitness"},
    "populations": {"populations"},
    "fitness": {"fitness"},
}
HOMES = {
    "ray": ("populations/executors/ray",),
    "mlflow": ("runs/tracking/",),
    "deap": ("populations/",),
    "pyarrow": ("runs/mirror/",),
    "torchvision": (),
}
HEAVY = {"torch", "ray", "mlflow"}
# What reads or writes files: nothing of it in `fitness`, which is tensors in, numbers out.
FILE_MODULES = {"glob", "io", "os", "pathlib", "platformdirs", "safetensors", "shutil", "tempfile"}
FILE_CALLS = {"open", "hashlib.file_digest", "torch.load", "torch.save"}
FILE_CALLS |= {
    f"numpy.{name}" for name in ("load", "save", "savez", "savez_compressed", "fromfile")
}

# numpy's generator machinery that has no global state.
NUMPY_RANDOM = {"Generator", "SeedSequence", "default_rng", "PCG64", "BitGenerator"}
GLOBAL_RANDOMNESS = {
    "torch.manual_seed",
    "torch.seed",
    "torch.set_rng_state",
    "torch.random.manual_seed",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
}
# These draw from torch's global generator unless one is passed.
TORCH_DRAWS = {
    f"torch.{name}" for name in ("rand", "randn", "randint", "randperm", "normal", "bernoulli")
} | {"torch.multinomial"}
GLOBAL_ONLY = {"torch.rand_like", "torch.randn_like", "torch.randint_like"}


def sources() -> list[Path]:
    files = [ROOT / "run_evolution.py"]
    for package in ("runs", "egan", "populations", "fitness"):
        files += sorted((ROOT / package).rglob("*.py"))
    return files


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


every_source = pytest.mark.parametrize("path", sources(), ids=name_of)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), name_of(path))


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield every imported module, wherever in the file its import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield node.module or ""
        elif isinstance(node, ast.Call) and dotted(node.func).endswith("import_module"):
            argument = node.args[0]
            if isinstance(argument, ast.Constant):
                yield str(argument.value)


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for an attribute of a name, or ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        start = dotted(node.value)
        return f"{start}.{node.attr}" if start else ""
    return ""


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


@every_source
def test_imports_point_one_way(path):
    package = path.relative_to(ROOT).parts[0].removesuffix(".py")
    own = {module.partition(".")[0] for module in imported(tree_of(path))} & MAY_IMPORT.keys()
    assert own <= MAY_IMPORT[package]


@every_source
def test_a_heavy_library_is_imported_in_its_home_alone(path):
    for module in imported(tree_of(path)):
        homes = HOMES.get(module.partition(".")[0])
        allowed = homes is None or name_of(path).startswith(homes)
        assert allowed, f"{module} belongs to {homes}"


@pytest.mark.parametrize("path", sorted((ROOT / "fitness").rglob("*.py")), ids=name_of)
def test_fitness_knows_no_files(path):
    tree = tree_of(path)
    assert not {module.partition(".")[0] for module in imported(tree)} & FILE_MODULES
    assert not {name for name, _ in calls(tree)} & FILE_CALLS


def fenced(tree: ast.Module) -> set[ast.AST]:
    """Return what stands inside `with torch.random.fork_rng()`, which puts the state back."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.With)
        and any(ast.unparse(item.context_expr) == "torch.random.fork_rng()" for item in node.items)
        for inner in ast.walk(node)
    }


@every_source
def test_no_global_random_generator_is_used(path):
    tree = tree_of(path)
    allowed = fenced(tree)
    assert "random" not in set(imported(tree)), "Python's random module has global state"
    for name, call in calls(tree):
        where = f"line {call.lineno}: {name}"
        assert call in allowed or name not in GLOBAL_RANDOMNESS | GLOBAL_ONLY, where
        for prefix in ("numpy.random.", "np.random."):
            if name.startswith(prefix):
                assert name.removeprefix(prefix).partition(".")[0] in NUMPY_RANDOM, where
        if name.endswith("random.default_rng"):
            assert call.args, f"{where} without a seed"
        if name in TORCH_DRAWS:
            assert any(word.arg == "generator" for word in call.keywords), f"{where}: no generator"


@every_source
def test_no_pickle_is_read_or_written(path):
    tree = tree_of(path)
    modules = {module.partition(".")[0] for module in imported(tree)}
    assert not modules & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for name, call in calls(tree):
        words = {
            word.arg: word.value.value
            for word in call.keywords
            if isinstance(word.value, ast.Constant)
        }
        where = f"line {call.lineno}: {name}"
        if name in ("torch.load", "torch.hub.load_state_dict_from_url"):
            assert words.get("weights_only") is True, f"{where} without weights_only=True"
        if name in ("numpy.load", "np.load"):
            assert words.get("allow_pickle", False) is False, where
        assert not name.endswith((".read_pickle", ".to_pickle")), where
        assert name not in ("yaml.unsafe_load", "yaml.full_load"), where
        if name == "yaml.load":
            assert ast.unparse(call.keywords[0].value) == "_UniqueKeyLoader", where  # a SafeLoader


@every_source
def test_no_text_is_run_as_code(path):
    for name, call in calls(tree_of(path)):
        where = f"line {call.lineno}: {name}"
        assert name not in ("eval", "exec", "compile", "os.system", "os.popen"), where
        shell = any(word.arg == "shell" for word in call.keywords)
        assert not (name.startswith("subprocess.") and shell), where


def test_the_rules_find_what_they_forbid():
    tree = ast.parse(
        "import numpy as np\nfrom torch import manual_seed as seed\n"
        "seed(0)\nnp.random.seed(1)\nx = np.load('a', allow_pickle=True)\n"
    )
    assert [name for name, _ in calls(tree)] == [
        "torch.manual_seed",
        "numpy.random.seed",
        "numpy.load",
    ]


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


@pytest.mark.parametrize("command", [[], ["train"], ["resume"], ["sample"], ["inspect"]])
def test_help_needs_no_heavy_library(command):
    loaded = {
        module.partition(".")[0] for module in modules_after("run_evolution.py", *command, "--help")
    }
    assert "click" in loaded
    assert not loaded & (HEAVY | {"numpy", "pydantic", "matplotlib", "sklearn"})


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
