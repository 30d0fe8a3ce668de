"""Networks, their training and their prediction: the only packages that import torch.

SciPy's functions look for `torch.Tensor` in a module torch that is there. Those that run in another
thread while torch is still being loaded, such as napari's for thumbnails, would fail without it.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


class _NoTensor:
    """Stand for the tensors of a torch that is still being loaded."""


class _TorchFinder(MetaPathFinder):
    """Give the module torch a class `Tensor` before it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)
        spec = find_spec("torch")
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_with_tensor(module: ModuleType) -> None:
                module.Tensor = _NoTensor  # type: ignore[attr-defined]
                load(module)

            spec.loader.exec_module = load_with_tensor  # type: ignore[method-assign]
        return spec


if "torch" not in sys.modules:
    sys.meta_path.insert(0, _TorchFinder())
