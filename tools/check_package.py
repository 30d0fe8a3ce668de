"""Check that the built wheel and sdist are complete, installable, and found by napari.

Usage: python tools/check_package.py DIST_FOLDER

Run it with the Python of a temporary environment: the wheel is installed into it, and then with
its dependencies into an empty environment, in which its commands are run. If no package can be
fetched, the second part is skipped with a message.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
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

MADE_IMAGE = """
import sys, numpy, tifffile
y, x = numpy.indices((64, 80))
tifffile.imwrite(sys.argv[1], (x + 40 * ((y // 16 + x // 16) % 2)).astype("uint8"))
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
    """List the errors in the contents of `wheel`."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    problems = [f"{wheel.name} lacks {name}" for name in sorted(source_files() - inside)]
    problems += [f"{wheel.name} has {name} too" for name in sorted(inside - source_files())]
    if not licences:
        problems.append(f"{wheel.name} lacks the licence")
    return problems


def check_sdist(sdist: Path) -> list[str]:
    """List the errors in the contents of `sdist`."""
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
    """Install `wheel` without dependencies and check the installed package; list the errors."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall"]
    if subprocess.run([*pip, str(wheel)], check=False).returncode != 0:
        return [f"{wheel.name} cannot be installed"]
    loaded = subprocess.run([sys.executable, "-I", "-c", LOADED_BY_THE_WHEEL], check=False)
    return [] if loaded.returncode == 0 else [f"{wheel.name} does not work once installed"]


def check_sdist_builds(sdist: Path, wheel: Path) -> list[str]:
    """Build a wheel from `sdist` and compare it with `wheel`."""
    with tempfile.TemporaryDirectory() as place:
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        made = [*pip, "--no-build-isolation", "--wheel-dir", place, str(sdist)]
        if subprocess.run(made, check=False).returncode != 0:
            return [f"no wheel can be built from {sdist.name}"]
        (again,) = Path(place).glob("*.whl")
        if names_in(again) != names_in(wheel):
            return [f"the wheel built from {sdist.name} has other files than {wheel.name}"]
    return []


def names_in(wheel: Path) -> list[str]:
    """List the files in `wheel`."""
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def check_in_empty_environment(wheel: Path) -> list[str]:
    """Install `wheel` and its dependencies into an empty environment, and run its commands."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        venv.create(folder / "empty", with_pip=True)
        scripts = folder / "empty" / ("Scripts" if os.name == "nt" else "bin")
        pip = [str(scripts / "python"), "-m", "pip", "install", "--quiet", "--prefer-binary"]
        if subprocess.run([*pip, "--retries", "1", str(wheel)], check=False).returncode != 0:
            if os.environ.get("CI"):
                return [f"the dependencies of {wheel.name} cannot be installed"]
            print("No packages can be fetched: the check in an empty environment is skipped.")
            return []
        return [f"in an empty environment: {said}" for said in run_commands(scripts, folder)]


def run_commands(scripts: Path, folder: Path) -> list[str]:
    """Run the installed commands in `folder`; list those that failed."""
    ours, npe2 = str(scripts / "napari-unetseg"), str(scripts / "npe2")
    image = folder / "image.tif"
    commands = {
        "an image": [str(scripts / "python"), "-c", MADE_IMAGE, str(image)],
        "--version": [ours, "--version"],
        "models": [ours, "models"],
        "background": [ours, "background", str(image), "--out", str(folder / "flat.tif")],
        "threshold": [ours, "threshold", str(image), "--out", str(folder / "mask.tif")],
        "npe2 validate": [npe2, "validate", "napari-unetseg"],
    }
    problems = []
    for name, command in commands.items():
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        if done.returncode != 0:
            problems.append(f"{name} ended with {done.returncode}: {done.stderr[-2000:]}")
    return problems


def main(folder: Path) -> int:
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        print(f"{folder} should contain one wheel and one sdist", file=sys.stderr)
        return 1
    wheel, sdist = wheels[0], sdists[0]
    problems = check_wheel(wheel) + check_sdist(sdist) + check_installed(wheel)
    problems = problems or check_sdist_builds(sdist, wheel) or check_in_empty_environment(wheel)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{wheel.name}, {sdist.name}: complete, installable, and its commands run")
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
