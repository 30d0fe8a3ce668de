"""Install the system libraries that a Qt window with OpenGL needs on Linux.

The wheels of Qt, napari and vispy include everything else. As root on a system with apt-get,
the missing libraries are installed; otherwise one message lists them. On macOS and Windows it
does nothing. Needs only the standard library.

Usage: python tools/system_libraries.py [--with-display-only]
"""

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libOpenGL.so.0": "libopengl0",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxkbcommon.so.0": "libxkbcommon0",
}
"""Shared library to the Debian package that has it."""

GL_DRIVERS = ("*/dri/*_dri.so", "dri/*_dri.so", "*/libgallium*.so", "libgallium*.so")
LIBRARY_ROOTS = (Path("/usr/lib"), Path("/usr/lib64"))
FONT_ROOTS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path.home() / ".fonts")
FONT_SUFFIXES = {".ttf", ".otf", ".ttc", ".pfb"}


class Need(NamedTuple):
    """Describe a requirement and the Debian packages that provide it."""

    name: str
    package: str
    present: Callable[[], bool]


def loads(library: str) -> bool:
    """Return whether the dynamic linker finds `library`."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_gl_driver() -> bool:
    """Return whether Mesa has an OpenGL driver, in the folder layout of any distribution."""
    return any(next(root.glob(pattern), None) for root in LIBRARY_ROOTS for pattern in GL_DRIVERS)


def has_font() -> bool:
    """Return whether there is any scalable font."""
    return any(
        path.suffix.lower() in FONT_SUFFIXES for root in FONT_ROOTS for path in root.rglob("*")
    )


def needs(*, virtual_display: bool) -> list[Need]:
    """List the requirements of a window, and of a virtual display if asked for."""
    listed = [
        Need(library, package, lambda library=library: loads(library))
        for library, package in LIBRARIES.items()
    ]
    listed.append(Need("an OpenGL driver", "libgl1-mesa-dri", has_gl_driver))
    listed.append(Need("a font", "fonts-dejavu-core", has_font))
    if virtual_display:
        listed.append(Need("Xvfb", "xvfb", lambda: shutil.which("Xvfb") is not None))
    return listed


def missing(wanted: list[Need]) -> list[Need]:
    """Return the requirements of `wanted` that are missing."""
    return [need for need in wanted if not need.present()]


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other run of this script in this checkout is installing."""
    import fcntl  # does not exist on Windows, where this is never called

    with open(__file__, "rb") as script:
        fcntl.flock(script, fcntl.LOCK_EX)
        yield


def apt_install(packages: list[str]) -> bool:
    """Install `packages`, after other processes have released apt."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]
    for command in (
        [*apt, "update"],
        [*apt, "install", "--yes", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            return False
    return True


def message(lacking: list[Need]) -> str:
    """Format instructions to install the missing requirements."""
    packages = " ".join(sorted(need.package for need in lacking))
    return (
        f"A window cannot be opened here: {', '.join(need.name for need in lacking)} "
        f"{'is' if len(lacking) == 1 else 'are'} missing.\n"
        "On Debian or Ubuntu, ask whoever administers this machine to run\n"
        f"  apt-get install {packages}\n"
        "and run the same command again. On another Linux, install what provides those files."
    )


def has_display() -> bool:
    """Return whether there is a display."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--with-display-only",
        action="store_true",
        help="do nothing where there is no display; never ask for a virtual one",
    )
    options = parser.parse_args()
    if not sys.platform.startswith("linux"):
        return 0
    if options.with_display_only and not has_display():
        return 0
    wanted = needs(virtual_display=not options.with_display_only)
    if not missing(wanted):
        return 0
    may_install = os.geteuid() == 0 and shutil.which("apt-get") is not None
    if may_install:
        with one_at_a_time():
            packages = sorted(need.package for need in missing(wanted))
            if packages:
                print(f"installing system libraries: {' '.join(packages)}", flush=True)
                apt_install(packages)
    lacking = missing(wanted)
    if lacking:
        print(message(lacking), file=sys.stderr)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
