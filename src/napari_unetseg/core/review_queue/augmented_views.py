"""Predict mirrored and transposed views of an image (test-time augmentation).

Where the prediction depends on the orientation of the image, the model is uncertain. A view only
reorders pixels, so it is as valid as the image itself.
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
    """Define an orientation of an image.

    Parameters
    ----------
    mirrored
        Letters of the axes to reverse.
    turned
        Whether to swap rows and columns afterwards.
    """

    mirrored: str = ""
    turned: bool = False

    def of(self, image: Image) -> Image:
        """Return the image in this orientation, without reading or copying pixels."""
        return (
            _transposed(_mirrored(image, self.mirrored))
            if self.turned
            else _mirrored(image, self.mirrored)
        )

    def back(self, image: Image) -> Image:
        """Return an image of this orientation in the original one."""
        return _mirrored(_transposed(image) if self.turned else image, self.mirrored)


def views_for(model: TrainedModel, image: Image) -> tuple[View, ...]:
    """Return the views, besides the original, that suit a model and an image.

    There are none for a model that uses the position of a pixel in the image, whose prediction may
    change with the orientation. The transpose is left out if pixels are not square.
    """
    if model.spec.position != "none":
        return ()
    depth = (View("Z"),) if model.ndim == 3 else ()
    square = len(set(image.spacing[-2:])) == 1 and len(set(model.zoom[-2:])) <= 1
    return (View("Y"), View("X"), *depth, View("", turned=True) if square else View("YX"))


def predict_view(
    model: TrainedModel, image: Image, views: tuple[View, ...], progress: Progress
) -> Iterator[Image]:
    """Yield the `predict_maps` of each view, in the orientation of the image."""
    for number, view in enumerate(views):
        share = part(progress, number / len(views), (number + 1) / len(views))
        yield view.back(predict_maps(model, view.of(image), ON_CPU, progress=share))


def _mirrored(image: Image, axes: str) -> Image:
    order = tuple(slice(None, None, -1 if axis in axes else None) for axis in image.axes)
    return image.with_data(image.data[order])


def _transposed(image: Image) -> Image:
    at = [image.axes.index(axis) for axis in "YX"]
    order = list(range(image.ndim))
    order[at[0]], order[at[1]] = at[1], at[0]
    spacing = (*image.spacing[:-2], *image.spacing[:-3:-1])
    return replace(image, data=image.data.transpose(order), spacing=spacing)


__all__ = ["ON_CPU", "View", "predict_view", "views_for"]
