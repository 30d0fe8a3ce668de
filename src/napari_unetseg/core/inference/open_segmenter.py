"""From a model, which is data, to its segmenter, which predicts: the one door to the networks."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.named_channels import named_channels
from napari_unetseg.core.inference.predict_options import PredictOptions, sees_stacks
from napari_unetseg.core.inference.predict_tiles import matched
from napari_unetseg.core.inference.segmenter import Segmenter
from napari_unetseg.core.inference.three_orientations import ThreeOrientations
from napari_unetseg.core.inference.zoomed import at_zoom
from napari_unetseg.core.model.network_specs import ConvolutionalSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.normalisation import Normalisation, check_finite, fit_normalisation
from napari_unetseg.core.options import Device
from napari_unetseg.core.progress import Progress, part, to_the_end

_SCALING_SHARE = 0.05
"""Part of a prediction that goes to the statistics of the image."""


@runtime_checkable
class RunsItself(Protocol):
    """A model that brings what runs it along, such as one of another program."""

    def segmenter(self, device: Device, *, flips: bool) -> Segmenter:
        """Build the segmenter, without the model's zoom."""

    def ready(
        self, image: Image, device: Device, flips: bool, progress: Progress, scaling: Any
    ) -> tuple[Image, Segmenter, Any, Progress]:
        """Make everything ready to predict an image; see `ready`. Without the model's zoom."""

    def check_weights(self) -> None:
        """Check that the network can be started."""


def open_segmenter(
    model: TrainedModel, device: Device = "cpu", *, flips: bool = False
) -> Segmenter:
    """Build the network of a model, at the model's zoom. Imports torch.

    Parameters
    ----------
    device
        What to compute on.
    flips
        Test-time augmentation: average over all mirror images. The rungs that look at single
        pixels take no notice: filters turn with the image.

    Raises
    ------
    InputError
        When torch is missing, or the weights are not those of the spec's network.
    """
    return at_zoom(_bare(model, device, flips), model.zoom)


def _bare(model: TrainedModel, device: Device, flips: bool) -> Segmenter:
    """Build the network of a model, without its zoom."""
    if isinstance(model, RunsItself):
        return model.segmenter(device, flips=flips)
    made: Segmenter = _networks().segmenter_of(model, device=device, flips=flips)
    return made


def _seen(bare: Segmenter, model: TrainedModel, image: Image, options: PredictOptions) -> Segmenter:
    """Return a segmenter at the model's zoom, in three orientations where the options ask so."""
    if model.ndim == 2 and sees_stacks(options, model, image):
        return ThreeOrientations.of(bare, model.zoom, image.spacing)
    return at_zoom(bare, model.zoom)


def familiarity_of(
    model: TrainedModel,
    image: Image,
    scaling: Normalisation,
    foreground: NDArray[np.bool_],
) -> float:
    """Compare the activations of a model's network with those of its training. Imports torch.

    Parameters
    ----------
    image, scaling
        A plane or stack as `ready` gives it.
    foreground
        (*spatial): where the model finds objects.

    Returns
    -------
    float
        From 0 to 1, see `napari_unetseg.core.nn.inference.familiarity`; 1 when the model does not
        know the activations of its training.
    """
    if isinstance(model, RunsItself) or not isinstance(model.spec, ConvolutionalSpec):
        return 1.0
    numbers = image.asarray()
    first = np.moveaxis(numbers, image.axes.index("C"), 0) if "C" in image.axes else numbers[None]
    block = scaling.apply(first)
    known: float = _networks().familiarity_to(model, block, foreground)
    return known


def check_weights(model: TrainedModel) -> None:
    """Check that the weights are those of the spec's network, name by name. Imports torch.

    Raises
    ------
    InputError
        When torch is missing, or one is missing, foreign or of another shape.
    """
    if isinstance(model, RunsItself):
        model.check_weights()
    else:
        _networks().check_state(model)


def ready(
    model: TrainedModel,
    image: Image,
    options: PredictOptions,
    progress: Progress,
    scaling: Normalisation | None = None,
) -> tuple[Image, Segmenter, Normalisation, Progress]:
    """Make everything ready to predict an image tile by tile.

    Parameters
    ----------
    scaling
        Of this image, when it is known already.

    Returns
    -------
    image, segmenter, scaling, progress
        The image in the channels of the model, the network, the scaling of the intensities, and
        the progress that is left.

    Raises
    ------
    InputError
        When the channels or axes do not fit the model, or no pixel is a finite number.
    """
    image = named_channels(model, image)
    if scaling is None:
        check_finite(image)
    if isinstance(model, RunsItself):
        given, bare, scaling, rest = model.ready(
            image, options.device, options.flips, progress, scaling
        )
        return given, _seen(bare, model, image, options), scaling, rest
    segmenter = _seen(_bare(model, options.device, options.flips), model, image, options)
    given = matched(image, segmenter)
    if scaling is None:
        first = to_the_end(part(progress, 0, _SCALING_SHARE))
        scaling = fit_normalisation(given, model.normalisation, progress=first)
    return given, segmenter, scaling, part(progress, _SCALING_SHARE, 1)


def _networks() -> Any:
    """Return the module that builds networks, which needs torch."""
    try:
        from napari_unetseg.core.nn import restore
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(
            "Trained models need PyTorch, which is not installed. "
            "Install it with: pip install 'napari-unetseg[torch]'"
        ) from error
    return restore


__all__ = ["RunsItself", "check_weights", "familiarity_of", "open_segmenter", "ready"]
