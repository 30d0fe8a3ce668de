"""Networks, their training and their prediction: the only packages that import torch.

SciPy's functions look for `torch.Tensor` in a module torch that is there. Those that run in another
thread while torch is still being loaded, such as napari's for thumbnails, would fail without it.

An import holds Python's lock while it loads a shared library: for torch's, no window would answer
for a fifth of a second. They are loaded before, by a call that leaves the lock to other threads.
"""

import ctypes
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


class _NoTensor:
    """Stand for the tensors of a torch that is still being loaded."""


class _TorchFinder(MetaPathFinder):
    """Give the module torch a class `Tensor`, and load its libraries, before it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        spec = PathFinder.find_spec(fullname, path) if fullname == "torch" else None
        if spec is not None and spec.loader is not None:
            load, place = spec.loader.exec_module, Path(spec.origin or "")

            def load_with_tensor(module: ModuleType) -> None:
                sys.meta_path.remove(self)
                module.Tensor = _NoTensor  # type: ignore[attr-defined]
                _load_libraries(place.parent / "lib")
                load(module)

            spec.loader.exec_module = load_with_tensor  # type: ignore[method-assign]
        return spec


def _load_libraries(folder: Path) -> None:
    """Load torch's libraries from its folder of them, as far as they are there.

    On Windows, torch itself loads them without the lock.
    """
    for library in folder.glob("libtorch_python.*") if os.name == "posix" else ():
        load = ctypes.CDLL(None).dlopen
        load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
        load(os.fsencode(library), os.RTLD_LAZY)


if "torch" not in sys.modules:
    sys.meta_path.insert(0, _TorchFinder())
