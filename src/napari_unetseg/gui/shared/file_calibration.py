"""Calibration of the layers that other readers open from files without their pixel size."""

from typing import Any
from weakref import ref

from napari.layers import Layer
from napari.utils.events import Event
from napari.utils.notifications import show_info, show_warning

from napari_unetseg.core.errors import InputError
from napari_unetseg.gui.shared.image_layers import calibrate, calibrate_like, is_plain


def follow_files(viewer: Any) -> None:
    """Calibrate the layers of a viewer from their files, now and whenever one is opened.

    Layers without a scale that already lie over an opened image, such as painted labels, take its
    scale, so that they stay over it.
    """
    found = [layer for layer in viewer.layers if _calibrated(layer)]
    if found:
        for layer in viewer.layers:
            if layer not in found and is_plain(layer) and layer.ndim <= found[0].ndim:
                calibrate_like(layer, found[0])
        viewer.reset_view()

    # The callback must not keep the viewer alive.
    known = ref(viewer)

    def inserted(event: Event) -> None:
        owner = known()
        if _calibrated(event.value) and owner is not None and len(owner.layers) == 1:
            # napari has moved the camera to where the layer was.
            owner.reset_view()

    viewer.layers.events.inserted.connect(inserted)


def _calibrated(layer: Layer) -> bool:
    """Calibrate a layer, and show what is to be noted of its file; whether it was."""
    try:
        notes = calibrate(layer)
    except InputError as error:
        show_warning(str(error))
        return False
    for note in notes or ():
        show_info(f"{layer.name}: {note}.")
    return notes is not None


__all__ = ["follow_files"]
