"""What the README, the docs and the source name exists: links, pictures, files, modules."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FOLDERS = ("runs", "egan", "populations", "fitness", "tests", "benchmarks", "docs", "examples")
SETTINGS = ("Makefile", "setup.cfg", "pyproject.toml", "run_evolution.py", ".ci/run")
SUFFIXES = (".py", ".md", ".yaml", ".html", ".sh", ".sbatch")
IN_REPOSITORY = rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})"
PATH = re.compile(IN_REPOSITORY + r"(?:/[\w*-]+)*/(?:[\w*-]+(?:\.\w+)*)?")
MODULE = re.compile(IN_REPOSITORY + r"(?:\.\w+)+")
# These name files that do not exist, on purpose.
EXCEPTIONS = (Path(__file__), ROOT / "tests/test_imports.py")


def texts() -> Iterator[Path]:
    yield from PAGES
    yield from (ROOT / name for name in SETTINGS)
    others = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")))
    yield from (p for p in others if p.suffix in SUFFIXES and p not in (*EXCEPTIONS, *PAGES))


def named(path: Path, pattern: re.Pattern) -> Iterator[tuple[str, str]]:
    """Yield where and what a file names; `runs/STRATEGY` is a placeholder."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for name in pattern.findall(line):
            if name == name.lower():
                yield f"{path.relative_to(ROOT)}:{number}", name


def is_there(name: str) -> bool:
    return any(ROOT.glob(name.rstrip("/")))


def is_a_module(name: str) -> bool:
    """Tell whether a dotted name is a module, a folder, or a name in a module's text."""
    path = ROOT.joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").exists():
        return True
    module = path.parent.with_suffix(".py")
    module = module if module.exists() else path.parent / "__init__.py"
    return module.exists() and bool(re.search(rf"\b{path.name}\b", module.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    missing = [link for link in local if not (page.parent / link).exists()]
    assert not missing


def test_every_path_that_is_named_exists():
    found = [(where, name) for path in texts() for where, name in named(path, PATH)]
    assert len(found) > 50
    assert [f"{where}: {name}" for where, name in found if not is_there(name)] == []


def test_every_module_that_a_page_names_exists():
    # `fitness.gamma` is a key of a config.
    found = [
        (where, name)
        for page in PAGES
        for where, name in named(page, MODULE)
        if not name.startswith("fitness.")
    ]
    assert [f"{where}: {name}" for where, name in found if not is_a_module(name)] == []


def test_what_is_missing_is_noticed():
    text = "See `runs/driver.py`, tests/fuzz/, tests/f*zz/*.py and `egan.steps.gradient`."
    assert PATH.findall(text) == ["runs/driver.py", "tests/fuzz/", "tests/f*zz/*.py"]
    assert not is_there("runs/driver.py")
    assert is_there("tests/fuzz/") and is_there("tests/f*zz/*.py")
    assert MODULE.findall(text) == ["egan.steps.gradient"] and not is_a_module(
        "egan.steps.gradient"
    )
    assert is_a_module("egan.engine.Engine") and is_a_module("tests.fuzz")
