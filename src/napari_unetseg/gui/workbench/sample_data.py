"""Sample data for napari: synthetic micrographs with their truth, and real ones of scikit-image.

Nothing is downloaded. The synthetic ones are drawn; the real ones are files of the installed
scikit-image. The functions return napari layer data and do not import napari.
"""

from importlib import resources
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core import samples
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.samples import Sample

LayerData: TypeAlias = tuple[NDArray[Any], dict[str, Any], str]
"""An array, the arguments of its layer, and the kind of layer."""


def neurons_layers(seed: int = 0) -> list[LayerData]:
    """Draw neurons in phase contrast under uneven light; the cells are darker than the field."""
    return _layers(samples.neurons((768, 768), seed=seed), seed)


def nuclei_layers(seed: int = 0) -> list[LayerData]:
    """Draw fluorescent nuclei, some of them touching."""
    return _layers(samples.nuclei((512, 512), seed=seed), seed)


def nuclei_3d_layers(seed: int = 0) -> list[LayerData]:
    """Draw fluorescent nuclei in a volume three times coarser along Z."""
    return _layers(samples.nuclei((32, 192, 192), seed=seed), seed)


def moving_nuclei_layers(seed: int = 0) -> list[LayerData]:
    """Draw a movie of fluorescent nuclei that move and divide."""
    return _layers(samples.moving_nuclei((24, 256, 256), seed=seed), seed)


def cells_layers(seed: int = 0) -> list[LayerData]:
    """Draw cells in two channels, nuclei and cytoplasm; some have two nuclei, some none."""
    return _channel_layers(samples.cells((512, 512), seed=seed), seed)


def cells_3d_layers(seed: int = 0) -> list[LayerData]:
    """Draw a volume of cells in two channels, more than twice coarser along Z."""
    return _channel_layers(samples.cells((24, 160, 160), seed=seed), seed)


def membranes_layers(seed: int = 0) -> list[LayerData]:
    """Draw a tissue of cells with bright membranes."""
    return _layers(samples.membranes((512, 512), seed=seed), seed)


def membranes_3d_layers(seed: int = 0) -> list[LayerData]:
    """Draw a volume of cells with bright membranes, twice coarser along Z."""
    return _layers(samples.membranes((32, 160, 160), seed=seed), seed)


def tissue_layers(seed: int = 0) -> list[LayerData]:
    """Draw two tissues of equal brightness that differ in texture only."""
    return _layers(samples.tissue((512, 512), seed=seed), seed)


def tissue_two_stains_layers(seed: int = 0) -> list[LayerData]:
    """Draw two tissues in two fluorescent channels."""
    return _layers(samples.tissue((512, 512), seed=seed, channels=2), seed)


def cell_layers() -> list[LayerData]:
    """Open scikit-image's quantitative phase image of a cell."""
    return _file("cell.png", "Cell")


def coins_layers() -> list[LayerData]:
    """Open scikit-image's coins under uneven light."""
    return _file("coins.png", "Coins")


def ihc_layers() -> list[LayerData]:
    """Open scikit-image's immunohistochemical stain of colonic glands, in colour."""
    return _file("ihc.png", "Immunohistochemistry", rgb=True)


def microaneurysms_layers() -> list[LayerData]:
    """Open scikit-image's microaneurysms of a retina, dark on an uneven background."""
    return _file("microaneurysms.png", "Microaneurysms")


def _layers(sample: Sample, seed: int) -> list[LayerData]:
    """Return a sample as layers: its hidden truth below its image.

    The image comes last because napari makes the last layer the active one, which the tools use;
    it is additive so that the truth below it is visible when switched on.
    """
    metadata = {"sample": sample.name, "seed": seed, "class_names": list(sample.class_names)}
    place = _place(sample, "YX")
    objects, classes = (
        {"visible": False, "metadata": {**metadata, "truth": True, "labels_are": kind}, **place}
        for kind in ("objects", "mask")
    )
    background = sample.background
    light = {
        "visible": False,
        "metadata": {**metadata, "truth": True},
        **_place(sample, sample.axes),
    }
    image = {"blending": "additive", "metadata": metadata, **_place(sample, sample.axes)}
    return [
        (background, {"name": f"{sample.name}: true background", **light}, "image"),
        (sample.objects, {"name": f"{sample.name}: true objects", **objects}, "labels"),
        (sample.classes, {"name": f"{sample.name}: true classes", **classes}, "labels"),
        (sample.image, {"name": sample.name, **image}, "image"),
    ]


def _channel_layers(sample: Sample, seed: int) -> list[LayerData]:
    """Return a sample as a layer for each channel, with its hidden truth below them."""
    place = _place(sample, sample.axes.replace("C", ""))
    metadata = {"sample": sample.name, "seed": seed}
    known = {**metadata, "truth": True, "labels_are": "objects"}
    truth = {"visible": False, "metadata": known, **place}
    layers: list[LayerData] = [
        (sample.objects, {"name": "true cells", **truth}, "labels"),
        (np.asarray(sample.nuclei), {"name": "true nuclei", **truth}, "labels"),
    ]
    look = {"blending": "additive", "metadata": metadata, **place}
    for number, colour in reversed(list(enumerate(("bop blue", "green")))):
        name = sample.channel_names[number]
        layers.append((sample.image[number], {"name": name, "colormap": colour, **look}, "image"))
    return layers


def _place(sample: Sample, axes: str) -> dict[str, Any]:
    """Return scale, units and names of the axes of a layer."""
    lead = "".join(axis for axis in "TZ" if axis in sample.axes and axis not in axes)
    axes = lead + axes
    steps = sample.axes.replace("C", "").replace("T", "")
    spatial = dict(zip(steps, sample.spacing, strict=True))
    return {
        "scale": tuple(spatial.get(axis, 1.0) for axis in axes),
        "units": tuple(sample.unit if axis in spatial else "pixel" for axis in axes),
        "axis_labels": tuple(axes.lower()),
    }


def _file(file: str, name: str, *, rgb: bool = False) -> list[LayerData]:
    """Read an image file of the installed scikit-image.

    Raises
    ------
    InputError
        If this scikit-image does not include it.
    """
    import imageio.v3 as imageio

    # Read directly, because scikit-image's own functions download missing files.
    path = resources.files("skimage") / "data" / file
    if not path.is_file():
        raise InputError(
            f"{name}: the installed scikit-image has no data/{file}. Open another sample, or "
            "install scikit-image from its wheel, which includes it."
        )
    picture = np.asarray(imageio.imread(path.read_bytes(), extension=".png"))
    metadata = {"sample": name, "source": f"scikit-image, data/{file}"}
    return [(picture, {"name": name, "rgb": rgb, "metadata": metadata}, "image")]
