"""Take the screenshots of the documentation in the real window.

    python tools/take_screenshots.py [--out DIR] [--readme] [NAME ...]

Opens napari, uses its docks on samples of the plugin like a user, and writes a screenshot of the
window at each step that the pages show, and a film, or only the named ones. On Linux this happens
in a virtual display of its own. The user's settings are neither read nor changed. ``--readme`` also
copies the film to where the README shows it, in the repository.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_unetseg.compile_kernels import COMPILED_SETTINGS, made_by
from napari_unetseg.core.settings import write_settings

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "screenshots"
README_FILM = ROOT / "docs" / "images" / "window.webp"
_SCREEN = "1600x1000x24"


@contextmanager
def display() -> Iterator[None]:
    """Open a virtual display on Linux; use the existing one elsewhere."""
    if not sys.platform.startswith("linux"):
        yield
        return
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", _SCREEN, "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            number = told.readline().strip()
        if not number:
            raise SystemExit("Xvfb did not start: run tools/system_libraries.py first.")
        os.environ["DISPLAY"] = f":{number}"
        os.environ.pop("WAYLAND_DISPLAY", None)
        yield
    finally:
        server.terminate()
        server.wait()


def take(names: list[str], out: Path, scratch: Path) -> list[str]:
    """Play the scenes of the named pictures, or of all; return the written files."""
    from window.hand import Hand
    from window.scenes import SCENES

    known = [name for pictures in SCENES.values() for name in pictures]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise SystemExit(f"no picture {', '.join(unknown)}; there are {', '.join(known)}")
    wanted, written = set(names or known), []
    for scene, pictures in SCENES.items():
        if wanted.isdisjoint(pictures):
            continue
        # Settings that docks remember from an earlier scene are cleared.
        for remembered in scratch.glob("unetseg-*.json"):
            remembered.unlink()
        hand = Hand(out, wanted)
        try:
            scene(hand, scratch)
        except Exception:
            hand.shoot("failed")
            raise
        finally:
            hand.close()
        written += hand.written
    missing = sorted(wanted - set(written))
    if missing:
        raise SystemExit(f"no scene took {', '.join(missing)}")
    return written


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("names", nargs="*", metavar="NAME")
    asking.add_argument("--out", type=Path, default=OUT)
    asking.add_argument("--readme", action="store_true", help="write the README's film too")
    asked = asking.parse_args()
    names = asked.names
    with tempfile.TemporaryDirectory(prefix="unetseg-") as folder, display():
        scratch = Path(folder)
        os.environ["NAPARI_CONFIG"] = str(scratch / "settings.yaml")
        # No picture shows that code is compiled after an installation.
        write_settings(scratch / COMPILED_SETTINGS, made_by())
        os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")
        take(names, asked.out, scratch)
    if asked.readme:
        shutil.copy(asked.out / README_FILM.name, README_FILM)


if __name__ == "__main__":
    main()
