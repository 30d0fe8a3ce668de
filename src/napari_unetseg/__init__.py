"""Interactive segmentation for napari: a ladder from a background surface to a UNet.

Arrays in, arrays out: the names below are all that most notebooks need. Importing this package
loads neither torch, Qt nor napari; the functions are loaded when the first is used.

Examples
--------
>>> import napari_unetseg as seg
>>> cells = seg.samples.nuclei((128, 128), seed=1).image
>>> labels = seg.threshold(cells, result="objects", min_size=20)
>>> labels.shape, labels.dtype, int(labels.max()) > 1
((128, 128), dtype('int32'), True)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unetseg.api import (
        Image,
        click,
        evaluate,
        fit_background,
        flatten,
        measure,
        measure_cells,
        open_model,
        predict,
        read,
        run_recipe,
        samples,
        threshold,
        train,
        write,
    )

    __version__: str

__all__ = [
    "Image",
    "__version__",
    "click",
    "evaluate",
    "fit_background",
    "flatten",
    "measure",
    "measure_cells",
    "open_model",
    "predict",
    "read",
    "run_recipe",
    "samples",
    "threshold",
    "train",
    "write",
]


def __getattr__(name: str) -> Any:
    """Load a name of `__all__` when it is first used."""
    if name == "__version__":
        return import_module("importlib.metadata").version("napari-unetseg")
    if name in __all__:
        return getattr(import_module("napari_unetseg.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
