"""Take the screenshots of the documentation in the real window.

    python tools/take_screenshots.py [--out DIR] [--film] [NAME ...]

Opens napari, uses its docks on samples of the plugin like a user, and writes a screenshot of the
window at each step that the pages show, or only the named ones. On Linux this happens in a
virtual display of its own. The user's settings are neither read nor changed. ``--film`` records the
README's film instead, which is stored in the repository.
"""

import argparse
import os
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
FILM = ROOT / "docs" / "images"
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


def record() -> None:
    """Play the scene of the README's film and write it."""
    from window.hand import Hand
    from window.scenes import filming

    hand = Hand(FILM, ())
    try:
        filming(hand)
    finally:
        hand.close()


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("names", nargs="*", metavar="NAME")
    asking.add_argument("--out", type=Path, default=OUT)
    asking.add_argument("--film", action="store_true", help="record the README's film instead")
    asked = asking.parse_args()
    names = asked.names
    with tempfile.TemporaryDirectory(prefix="unetseg-") as folder, display():
        scratch = Path(folder)
        os.environ["NAPARI_CONFIG"] = str(scratch / "settings.yaml")
        # No picture shows that code is compiled after an installation.
        write_settings(scratch / COMPILED_SETTINGS, made_by())
        os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")
        record() if asked.film else take(names, asked.out, scratch)


if __name__ == "__main__":
    main()
