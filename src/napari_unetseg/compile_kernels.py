"""Compile every kernel for the usual types of pixels, and keep the machine code on disk.

    python -m napari_unetseg.compile_kernels

The window runs this once per installed version in a process of its own, at low priority, so that
the first use of a tool does not wait for the compiler. It may also be run when an image of a
container is built. It ends at once where no folder for the machine code can be written.

napari compiles code of its own when a layer of labels or shapes is first drawn, which blocks the
window: layers are made here without a window, so that this code is kept too.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = (np.uint8, np.uint16, np.float32)
"""Types of pixels that are compiled in advance; others are compiled when they are first used."""

COMPILED_SETTINGS = "unetseg-compiled.json"
"""File beside napari's settings that holds `made_by` of what was compiled."""

Step = Callable[[], object]


def steps() -> Iterator[Step]:
    """Yield calls that together use every kernel, those of the first tools of the ladder first."""
    with_napari = find_spec("napari") is not None
    if with_napari:
        yield lambda: draw_layers(np.int32)  # the type of results
    for dtype in DTYPES:
        for volume in (False, True):
            image, labels = _scene(dtype, volume=volume)
            yield lambda image=image: _surface(image)  # type: ignore[misc]
            yield lambda image=image: _levels(image)  # type: ignore[misc]
            yield lambda image=image, labels=labels: _measures(image, labels)  # type: ignore[misc]
    yield lambda: _proposal(_scene(np.uint16, volume=False)[0])
    # Such as flattened images of wide integers.
    yield lambda: _surface(_scene(np.float64, volume=False)[0])
    for volume in (False, True):
        image, labels = _scene(np.float32, volume=volume)
        yield lambda image=image, labels=labels: _objects(image, labels)  # type: ignore[misc]
        yield lambda labels=labels: _comparison(labels)  # type: ignore[misc]
        if find_spec("torch") is not None:
            yield lambda image=image, labels=labels: _pixel_model(image, labels)  # type: ignore[misc]
        else:
            yield lambda image=image: _features(image)  # type: ignore[misc]
    if with_napari:
        for wide in (np.int64, np.uint32, np.uint64):
            yield lambda wide=wide: draw_layers(wide)  # type: ignore[misc]


def made_by() -> dict[str, str]:
    """Return the versions and the place that kept machine code is valid for."""
    names = ["napari-unetseg", "numba", "numpy"]
    if find_spec("napari") is not None:
        names.append("napari")
    return {
        "python": sys.version,
        "package": str(Path(__file__).parent),
        **{name: version(name) for name in names},
    }


def compile_all() -> int:
    """Compile all kernels; return the exit status."""
    import psutil

    from napari_unetseg.core.compute.compilation import keeps_code

    if keeps_code():
        psutil.Process().nice(psutil.IDLE_PRIORITY_CLASS if sys.platform == "win32" else 19)
        for step in steps():
            step()
    return 0


def draw_layers(dtype: Any) -> None:
    """Make napari draw labels by number and by colours of their own, and a polygon.

    Parameters
    ----------
    dtype
        Of the labels; napari needs no code for those of 8 and 16 bits.
    """
    # Where numba can keep nothing, napari's modules cannot be imported.
    with contextlib.suppress(RuntimeError):
        from napari.layers import Labels, Shapes
        from napari.utils.colormaps import DirectLabelColormap

        layer = Labels(np.eye(4, dtype=dtype))
        layer.colormap = colours = DirectLabelColormap(color_dict={None: "black", 1: "red"})
        colours.map(np.zeros(1, dtype))
        square = np.array([(0, 0), (0, 4), (4, 4), (4, 0)], float)
        Shapes(ndim=2).add([square], shape_type="polygon", face_color="transparent")


def _scene(dtype: Any, *, volume: bool) -> tuple[Any, Any]:
    """Draw discs, one of them a ring, and their ids, as images of a plane or of a volume."""
    from napari_unetseg.core.image import Image

    shape = (6, 48, 48) if volume else (64, 64)
    y, x = np.indices(shape)[-2:]
    away = np.hypot(y % 16 - 8, x % 16 - 8)
    inside = (away < 5) & (away > np.where(y < 16, 2, -1))
    pixels = (10 + y + 100 * inside).astype(dtype)
    axes = "ZYX" if volume else "YX"
    ids = np.where(inside, 1 + y // 16 * 4 + x // 16, 0).astype(np.int32)
    return Image.of(pixels, axes=axes), Image.of(ids, axes=axes)


def _surface(image: Any) -> None:
    from napari_unetseg import api

    for robust in ("none", "bright"):
        for exclude in (None, np.asarray(image.data) > 120):
            background = api.fit_background(image, robust=robust, exclude=exclude)
            background.surface()
            background.flatten(image)
    api.flatten(image, mode="divide")


def _levels(image: Any) -> None:
    from napari_unetseg import api

    for method in ("otsu", "li", "hysteresis"):
        api.threshold(image, method=method, sigma=1, fill_holes=True, clear_border=True)
    api.threshold(image, method="multiotsu", classes=8)
    for split in (False, True):
        api.threshold(image, result="objects", split=split, min_size=2)


def _measures(image: Any, labels: Any) -> None:
    from napari_unetseg import api
    from napari_unetseg.core.corrections.object_boxes import find_boxes
    from napari_unetseg.core.objects.outlines import outlines

    api.measure(labels, image, outline=True, hull=True, skeleton=True, median=True)
    list(outlines(labels))
    # Small labels need no kernel.
    find_boxes(np.zeros((600, 600), labels.dtype))


def _objects(image: Any, labels: Any) -> None:
    from napari_unetseg.core.objects.decode import DecodeOptions, decode
    from napari_unetseg.core.objects.decoders import DecoderSpec

    foreground = (np.asarray(labels.data) > 0).astype(np.float32)
    for decoding in ("distance", "boundary"):
        decode(foreground, foreground[None], DecoderSpec(decoding=decoding))
    decode(foreground, options=DecodeOptions(split="probability", fill_holes=True))


def _comparison(labels: Any) -> None:
    from napari_unetseg.core.scoring.review_objects import (
        count_objects,
        paint_review,
        review_objects,
    )

    ids = np.asarray(labels.data)
    counted = count_objects(ids, np.where(ids > 2, ids, 0))
    paint_review(counted, review_objects(counted), ids, np.where(ids > 2, ids, 0))


def _proposal(image: Any) -> None:
    from napari_unetseg.core.prompts.grow_region import distances

    cost = np.asarray(image.data, np.float32)
    distances(cost, cost > cost.mean())


def _pixel_model(image: Any, labels: Any) -> None:
    from napari_unetseg import api

    ids = np.minimum(np.asarray(labels.data), 1).astype(np.uint8) + 1
    ndim = len(image.axes)
    model = api.train(image, ids, "logistic", labels_are="scribbles", ndim=ndim)
    api.predict(image, model)


def _features(image: Any) -> None:
    from napari_unetseg.core.features.bank import FilterBankSpec, filter_bank

    filter_bank(np.asarray(image.data)[None], FilterBankSpec(laplacian=True))


if __name__ == "__main__":
    sys.exit(compile_all())
