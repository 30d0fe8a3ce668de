"""Training patches and validation windows of a training set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_unetseg.core.annotation.annotation import AnnotatedImage
from napari_unetseg.core.annotation.class_balance import class_weights, image_shares
from napari_unetseg.core.annotation.shrinking import shrunken, shrunken_image
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import TrainingSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.nn.training.patches import Drawer, Judge, Reader, Shape
from napari_unetseg.core.objects.decoders import DecoderSpec


@dataclass(frozen=True, eq=False)
class Guess:
    """Probabilities that a lower rung gives, to learn where nothing is annotated.

    Parameters
    ----------
    probabilities
        (classes, *spatial) of each image of the training set.
    trust
        Their Dice on the validation set, from 0 to 1.
    """

    probabilities: Sequence[NDArray[np.float16]]
    trust: float = 1.0


def patch_shape(
    spec: ModelSpec, data: Sequence[AnnotatedImage], options: TrainOptions, network: nn.Module
) -> Shape:
    """Fit the patch of the options to a network and to the images.

    Sides are in pixels of the resolution that the network works at: no larger than the largest
    image, no smaller than two of the network's coarsest pixels, and for unpadded convolutions
    larger by the rim that these remove.

    Raises
    ------
    InputError
        When nothing is left of a patch after unpadded convolutions.
    """
    ndim = data[0].image.ndim - 1
    shrink, spec = spec.shrink(ndim), spec.inside()
    multiple = spec.multiple(ndim)
    wanted = (options.patch_depth,) * (ndim == 3) + (options.patch,) * 2
    sides = (shrunken(example.annotation.shape, shrink) for example in data)
    largest = [max(lengths) for lengths in zip(*sides, strict=True)]
    unpadded = getattr(spec, "padding", "same") == "valid"
    patch = []
    for want, length, unit, halo in zip(wanted, largest, multiple, spec.halo(ndim), strict=True):
        side = min(want, length) + (2 * halo if unpadded else 0)
        patch.append(max(-(-side // unit), 2 if unit > 1 else 1) * unit)
    if not unpadded:
        return Shape(tuple(patch), tuple(patch), (0,) * ndim)
    empty = torch.zeros(1, spec.n_inputs(len(data[0].image), ndim), *patch)
    with torch.no_grad():
        result = tuple(network.eval()(empty).shape[2:])
    before: tuple[int, ...] = tuple(network.offset)  # type: ignore[arg-type]
    # Some remove more at the end than at the start; after a flip or turn, targets would not fit.
    rim = tuple(
        max(b, side - length - b) for b, side, length in zip(before, patch, result, strict=True)
    )
    kept = tuple(side - 2 * r for side, r in zip(patch, rim, strict=True))
    return Shape(tuple(patch), kept, rim)


def prepare_training(
    spec: ModelSpec,
    data: TrainingSet,
    options: TrainOptions,
    shape: Shape,
    guess: Guess | None = None,
    decoder: DecoderSpec | None = None,
) -> tuple[Drawer, Judge]:
    """Return the sampler of training patches, and the validation windows."""
    by_class, weighs = options.balances(dense=data.annotations[0].dense)
    reader, shrink = Reader(spec.inside(), shape), spec.shrink(data.ndim)
    targets: list[dict[str, Any]] = [
        {
            "maps": build_target_maps(image, decoder, shrink),
            "guess": _guessed(guess, number, shrink),
        }
        for number, image in enumerate(data.images)
    ]
    learn, held_out = (
        [replace(image, **more) for image, more in zip(images, targets, strict=True)]
        for images in data.shrunk(shrink)
    )
    annotations = [image.annotation for image in learn]
    drawer = Drawer(
        learn,
        reader,
        shape,
        by_class=by_class,
        class_weights=class_weights(annotations, 0.5 if weighs else 0.0),
        rng=np.random.default_rng(options.seed),
        shares=image_shares(
            [image.annotation for image in data.learn], objects=decoder is not None
        ),
    )
    return drawer, Judge(held_out, reader, shape)


def _guessed(
    guess: Guess | None, number: int, shrink: tuple[int, ...]
) -> NDArray[np.float16] | None:
    if guess is None:
        return None
    return shrunken_image(guess.probabilities[number], shrink).astype(np.float16)


def build_target_maps(
    example: AnnotatedImage, decoder: DecoderSpec | None, shrink: tuple[int, ...]
) -> NDArray[np.float16] | None:
    """Compute the target maps of a decoder for an example, shrunk as its image is.

    Raises
    ------
    InputError
        When there is a decoder, but the annotation has no object ids.
    """
    if decoder is None:
        return None
    ids = example.annotation.objects
    if ids is None:
        raise InputError(
            "To learn objects, every object needs an id of its own. Say that the labels are "
            "objects, or learn classes."
        )
    whole = decoder.decoder.targets(ids, spacing=example.spacing, pixel=max(shrink))
    return shrunken_image(whole, shrink).astype(np.float16)
