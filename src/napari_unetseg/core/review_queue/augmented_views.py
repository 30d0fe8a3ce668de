"""What a model says of an image seen otherwise: mirrored and turned.

Where its answer depends on how the image lies, it is not sure. Nothing of the image changes but
the order of its pixels, so every view is as true as the image itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict_maps
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.progress import Progress, part

ON_CPU = PredictOptions(device="cpu")
"""How a model is asked about an image for a queue."""


@dataclass(frozen=True)
class View:
    """One way to lay an image.

    Parameters
    ----------
    mirrored
        Letters of the axes whose order is reversed.
    turned
        Whether rows and columns are exchanged afterwards.
    """

    mirrored: str = ""
    turned: bool = False

    def of(self, image: Image) -> Image:
        """Return the image so laid; nothing is read or copied."""
        return (
            _turned(_mirrored(image, self.mirrored))
            if self.turned
            else _mirrored(image, self.mirrored)
        )

    def back(self, image: Image) -> Image:
        """Return an image that is so laid as it was before."""
        return _mirrored(_turned(image) if self.turned else image, self.mirrored)


def views_for(model: TrainedModel, image: Image) -> tuple[View, ...]:
    """Return the views beside the plain one that a model can be asked about an image.

    None for a model that sees where in the image a pixel is: elsewhere it would rightly answer
    otherwise. A turn is left out where pixels are not square.
    """
    if model.spec.position != "none":
        return ()
    depth = (View("Z"),) if model.ndim == 3 else ()
    square = len(set(image.spacing[-2:])) == 1 and len(set(model.zoom[-2:])) <= 1
    return (View("Y"), View("X"), *depth, View("", turned=True) if square else View("YX"))


def predict_view(
    model: TrainedModel, image: Image, views: tuple[View, ...], progress: Progress
) -> Iterator[Image]:
    """Yield what `predict_maps` says of each view, laid as the image is."""
    for number, view in enumerate(views):
        share = part(progress, number / len(views), (number + 1) / len(views))
        yield view.back(predict_maps(model, view.of(image), ON_CPU, progress=share))


def _mirrored(image: Image, axes: str) -> Image:
    order = tuple(slice(None, None, -1 if axis in axes else None) for axis in image.axes)
    return image.with_data(image.data[order])


def _turned(image: Image) -> Image:
    at = [image.axes.index(axis) for axis in "YX"]
    order = list(range(image.ndim))
    order[at[0]], order[at[1]] = at[1], at[0]
    spacing = (*image.spacing[:-2], *image.spacing[:-3:-1])
    return replace(image, data=image.data.transpose(order), spacing=spacing)


__all__ = ["ON_CPU", "View", "predict_view", "views_for"]
