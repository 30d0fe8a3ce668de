"""Check the built wheel and sdist: complete, installable, and found by napari.

Usage: python tools/check_package.py DIST_FOLDER

Run by the Python of a throw-away environment: the wheel is installed into it.
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "napari_unetseg"
IGNORED = {"__pycache__"}

SDIST_TOP = {
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "docs",
    "napari.yaml",
    "pyproject.toml",
    "tox.ini",
    "tests",
    "tools",
    "src",
}

LOADED_BY_THE_WHEEL = f"""
import importlib.metadata, importlib.resources
import {PACKAGE}
dist = importlib.metadata.distribution("napari-unetseg")
points = {{(point.group, point.name): point.value for point in dist.entry_points}}
assert ("console_scripts", "napari-unetseg") in points, points
package, _, manifest = points["napari.manifest", "napari-unetseg"].partition(":")
text = (importlib.resources.files(package) / manifest).read_text(encoding="utf-8")
assert text.startswith("name: napari-unetseg"), text[:80]
assert "site-packages" in {PACKAGE}.__file__, {PACKAGE}.__file__
"""


def source_files() -> set[str]:
    """Return the package's files in the checkout, relative to `src`."""
    src = ROOT / "src"
    return {
        path.relative_to(src).as_posix()
        for path in (src / PACKAGE).rglob("*")
        if path.is_file() and not IGNORED.intersection(path.parts)
    }


def check_wheel(wheel: Path) -> list[str]:
    """Return what is wrong with the contents of `wheel`."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    problems = [f"{wheel.name} lacks {name}" for name in sorted(source_files() - inside)]
    problems += [f"{wheel.name} has {name} too" for name in sorted(inside - source_files())]
    if not licences:
        problems.append(f"{wheel.name} lacks the licence")
    return problems


def check_sdist(sdist: Path) -> list[str]:
    """Return what is wrong with the contents of `sdist`."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers()}
    top = {name.partition("/")[0] for name in names}
    problems = [f"{sdist.name} lacks {name}" for name in sorted(SDIST_TOP - top)]
    return problems + [
        f"{sdist.name} lacks src/{name}"
        for name in sorted(source_files())
        if f"src/{name}" not in names
    ]


def check_installed(wheel: Path) -> list[str]:
    """Install `wheel` and look from inside; its dependencies are the test environment's matter."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall"]
    if subprocess.run([*pip, str(wheel)], check=False).returncode != 0:
        return [f"{wheel.name} cannot be installed"]
    loaded = subprocess.run([sys.executable, "-I", "-c", LOADED_BY_THE_WHEEL], check=False)
    return [] if loaded.returncode == 0 else [f"{wheel.name} does not work once installed"]


def main(folder: Path) -> int:
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        print(f"{folder} should hold one wheel and one sdist", file=sys.stderr)
        return 1
    problems = check_wheel(wheels[0]) + check_sdist(sdists[0]) + check_installed(wheels[0])
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{wheels[0].name}, {sdists[0].name}: complete and installable")
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
