"""Install a CPU build of PyTorch into the running Python's environment.

The CPU build is a few hundred megabytes; on Linux the default build adds several gigabytes of GPU
libraries that the tests do not need. Needs only the standard library and pip.

Usage: python tools/install_torch.py
"""

import importlib.util
import subprocess
import sys
from typing import NamedTuple

VERSION = "2.13.0"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


class Source(NamedTuple):
    """Describe a package index that may have a build."""

    name: str
    arguments: tuple[str, ...]


CONFIGURED_CPU = Source("a CPU build where pip is set up to look", (f"torch=={VERSION}+cpu",))
PYTORCH_CPU = Source(
    "a CPU build from PyTorch's own index",
    (f"torch=={VERSION}+cpu", "--extra-index-url", CPU_INDEX, "--timeout", "10"),
)
DEFAULT = Source("the default build", (f"torch=={VERSION}",))


def sources(platform: str) -> tuple[Source, ...]:
    """List the sources, best first; only Linux has two builds of the same version."""
    if platform.startswith("linux"):
        return CONFIGURED_CPU, PYTORCH_CPU, DEFAULT
    return (DEFAULT,)


def pip_install(source: Source) -> bool:
    """Install from `source`, without retries: if it fails, the next source is tried."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--retries", "0"]
    return subprocess.run([*pip, *source.arguments], check=False).returncode == 0


def main() -> int:
    if importlib.util.find_spec("torch") is not None:
        return 0
    for source in sources(sys.platform):
        print(f"torch: trying {source.name}", flush=True)
        if pip_install(source):
            print(f"torch: installed {source.name}", flush=True)
            return 0
    print(
        f"torch {VERSION} could not be installed. The lines above say why; "
        "install any torch of at least 2.4 into this environment and run again:\n"
        f"  {sys.executable} -m pip install torch",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
