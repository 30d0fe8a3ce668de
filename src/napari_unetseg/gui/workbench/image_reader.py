"""napari reader for images whose pixel size, axes or pyramid napari's own reader leaves out.

It claims folders, whole-slide files, and files of microscopes that bioio reads. Of other TIFF files
napari keeps the reading, for with two readers it would ask at each one:
`gui/shared/file_calibration.py` adds what is missing.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari.layers import Layer
from napari.utils.notifications import show_info

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import expand_inputs, file_contents, keeps_calibration, read_lazily
from napari_unetseg.gui.shared.image_layers import file_layers

LayerData = tuple[Any, dict[str, Any], str]


def get_image_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return the reader if `path` is an image it reads (napari hook)."""
    if isinstance(path, str) and _image_in(Path(path)) is not None:
        return read_images
    return None


def read_images(path: Any) -> list[LayerData]:
    """Read every image of a file as layers, the first one visible.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    source = _image_in(Path(path)) or Path(path)
    names, _ = file_contents(source)
    found: list[Layer] = []
    for scene in range(len(names)):
        layers = file_layers(source, scene)
        for layer in layers:
            layer.visible = scene == 0
        found += layers
    if len(names) > 1:
        show_info(f"{source.name} holds {len(names)} images: all are opened, the first is shown.")
    else:
        for note in read_lazily(source).notes:
            show_info(f"{source.name}: {note}.")
    # The lowest is the last of the list.
    return [layer.as_layer_data_tuple() for layer in found]


def _image_in(path: Path) -> Path | None:
    """Return the file to read: itself, or the one image of a folder, of one file or a set."""
    # napari asks for the files of the manifest alone. One that nothing here reads is a sentence.
    if path.is_file() or keeps_calibration(path):
        return path
    if not path.is_dir():
        return None
    try:
        inside = expand_inputs([path])
    except InputError:
        return None
    return inside[0] if len(inside) == 1 and keeps_calibration(inside[0]) else None


__all__ = ["get_image_reader", "read_images"]
