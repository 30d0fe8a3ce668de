"""napari's sample data: synthetic micrographs with their truth, and real ones of scikit-image.

Nothing is downloaded. The synthetic ones are drawn; the real ones are files that lie inside an
installed scikit-image. The functions return napari layer data and need no napari themselves.
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
    """Draw fluorescent nuclei, apart and touching."""
    return _layers(samples.nuclei((512, 512), seed=seed), seed)


def nuclei_3d_layers(seed: int = 0) -> list[LayerData]:
    """Draw fluorescent nuclei in a volume three times coarser along Z."""
    return _layers(samples.nuclei((32, 192, 192), seed=seed), seed)


def membranes_layers(seed: int = 0) -> list[LayerData]:
    """Draw a tissue of cells with bright membranes."""
    return _layers(samples.membranes((512, 512), seed=seed), seed)


def membranes_3d_layers(seed: int = 0) -> list[LayerData]:
    """Draw a volume of cells with bright membranes, twice coarser along Z."""
    return _layers(samples.membranes((32, 160, 160), seed=seed), seed)


def tissue_layers(seed: int = 0) -> list[LayerData]:
    """Draw two tissues that are equally dark: only their texture tells them apart."""
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
    """Open scikit-image's microaneurysms of a retina, dark on an uneven ground."""
    return _file("microaneurysms.png", "Microaneurysms")


def _layers(sample: Sample, seed: int) -> list[LayerData]:
    """Return a sample as layers: its truth, hidden, under its image.

    The image comes last because napari makes the last layer the active one, which the tools act
    on; it is additive so that the truth under it can be seen when it is switched on.
    """
    said = {"sample": sample.name, "seed": seed, "class_names": list(sample.class_names)}
    truth = {"visible": False, "metadata": {**said, "truth": True}, **_place(sample, "YX")}
    background = sample.background
    light = {"visible": False, "metadata": {**said, "truth": True}, **_place(sample, sample.axes)}
    image = {"blending": "additive", "metadata": said, **_place(sample, sample.axes)}
    return [
        (background, {"name": f"{sample.name}: true background", **light}, "image"),
        (sample.objects, {"name": f"{sample.name}: true objects", **truth}, "labels"),
        (sample.classes, {"name": f"{sample.name}: true classes", **truth}, "labels"),
        (sample.image, {"name": sample.name, **image}, "image"),
    ]


def _place(sample: Sample, axes: str) -> dict[str, Any]:
    """Return scale, units and names of the axes of a layer."""
    axes = "Z" * ("Z" in sample.axes and "Z" not in axes) + axes
    spatial = dict(zip(sample.axes.replace("C", ""), sample.spacing, strict=True))
    return {
        "scale": tuple(spatial.get(axis, 1.0) for axis in axes),
        "units": tuple(sample.unit if axis in spatial else "pixel" for axis in axes),
        "axis_labels": tuple(axes.lower()),
    }


def _file(file: str, name: str, *, rgb: bool = False) -> list[LayerData]:
    """Read a picture that lies inside the installed scikit-image.

    Raises
    ------
    InputError
        When this scikit-image came without it.
    """
    import imageio.v3 as imageio

    # Read directly: scikit-image's own functions download what they do not find.
    path = resources.files("skimage") / "data" / file
    if not path.is_file():
        raise InputError(
            f"{name}: the installed scikit-image has no data/{file}. Open another sample, or "
            "install scikit-image from its wheel, which brings it."
        )
    picture = np.asarray(imageio.imread(path.read_bytes(), extension=".png"))
    metadata = {"sample": name, "source": f"scikit-image, data/{file}"}
    return [(picture, {"name": name, "rgb": rgb, "metadata": metadata}, "image")]
