"""What the package promises as a whole: light to import, honest about what it needs."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import napari_unetseg

PACKAGE = Path(napari_unetseg.__file__).parent
WINDOW = ["magicgui", "napari", "pyqtgraph", "qtpy", "superqt", "PyQt6", "PySide6"]
TEXT = {".cfg", ".ini", ".md", ".py", ".toml", ".txt", ".yaml", ".yml"}

# A path of somebody's machine: what comes after is a folder's name.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:home|root|tmp|Users|work)/\w")


def modules(folder: Path) -> list[str]:
    """Name every module of the package under `folder`."""
    names = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def loaded_by(names: list[str], looked_for: list[str]) -> list[str]:
    """Import `names` in a new Python; return which of `looked_for` that loaded."""
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        f"print(*[name for name in {looked_for!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ["torch", "numba", "dask", "skimage", "scipy", *WINDOW]
    assert loaded_by(["napari_unetseg"], heavy) == []


def test_looking_through_the_door_loads_nothing_either() -> None:
    look = "dir(napari_unetseg); napari_unetseg.__version__"
    code = f"import napari_unetseg, sys; {look}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "numba", "dask", "skimage", "scipy", "numpy", "pydantic", *WINDOW}
    assert heavy.isdisjoint(done.stdout.split())
    assert loaded_by(["napari_unetseg.api"], ["torch", *WINDOW]) == []


def test_core_is_used_without_a_window_and_without_torch() -> None:
    core = [name for name in modules(PACKAGE / "core") if ".core.nn" not in name]
    assert loaded_by(core, ["torch", *WINDOW]) == []


def test_opening_a_dock_loads_nothing_slow() -> None:
    docks = [name for name in modules(PACKAGE / "gui") if not name.endswith("sample_data")]
    # Each of these takes as long to import as a dock to open.
    slow = ["torch", "scipy.ndimage", "scipy.optimize", "scipy.sparse.csgraph", "scipy.stats"]
    assert loaded_by(docks, slow) == []
    assert "napari" in loaded_by(docks, ["napari"])


def third_party_imports() -> Iterator[tuple[str, str]]:
    """Yield the file and the name of every package imported from elsewhere, lazily or not."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top != PACKAGE.name:
                    yield path.relative_to(PACKAGE).as_posix(), top


def declared_packages(root: Path) -> set[str]:
    """Name every distribution that `pyproject.toml` asks for, with or without an extra."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = sum(project["optional-dependencies"].values(), project["dependencies"])
    return {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in lines}


def test_everything_imported_is_declared(project_root: Path) -> None:
    declared = declared_packages(project_root)
    provided = importlib.metadata.packages_distributions()
    undeclared = {
        (file, top)
        for file, top in third_party_imports()
        if declared.isdisjoint(name.lower() for name in provided.get(top, [top]))
    }
    assert undeclared == set()


def project_files(root: Path) -> list[Path]:
    """List the project's own text files, leaving out what tools make beside them."""
    kept = ["src", "tests", "tools", "benchmarks", "examples", "docs", ".ci"]
    files = [path for path in root.iterdir() if path.is_file()]
    for folder in kept:
        files += [path for path in (root / folder).rglob("*") if path.is_file()]
    return [path for path in files if path.suffix in TEXT or path.parent.name == ".ci"]


def test_no_file_names_a_path_of_one_machine(project_root: Path) -> None:
    files = project_files(project_root)
    assert Path(__file__) in files
    named = {
        path.relative_to(project_root).as_posix(): found.group()
        for path in files
        if (found := MACHINE_PATH.search(path.read_text(encoding="utf-8")))
    }
    assert named == {}


@pytest.mark.parametrize("folder", ["home", "root", "tmp"])
def test_a_path_of_one_machine_would_be_seen(folder: str) -> None:
    assert MACHINE_PATH.search(f"see '/{folder}/ada/cells.tif'")
    assert not MACHINE_PATH.search(f"https://example.org/{folder}/ada and a/{folder}/b")
