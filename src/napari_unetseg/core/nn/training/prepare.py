"""From annotated images to what training reads: normalised, cut to patches, some held out."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.nn.training.patches import Drawer, Judge, PatchSource, Reader, Shape
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.training.annotation import AnnotatedImage
from napari_unetseg.core.training.class_balance import class_weights, image_shares
from napari_unetseg.core.training.holdout import split
from napari_unetseg.core.training.resolution import (
    shrunken,
    shrunken_annotation,
    shrunken_image,
)
from napari_unetseg.core.training.train_options import TrainOptions

Guess = Sequence[NDArray[np.float16]]
"""For each example, probabilities to learn where nothing is annotated: see `PatchSource`."""


def patch_shape(
    spec: ModelSpec, data: Sequence[AnnotatedImage], options: TrainOptions, network: nn.Module
) -> Shape:
    """Return the patches to train on: what the options ask for, as the network can take it.

    In pixels of the resolution it works at. No larger than the largest image, no smaller than two
    of the network's coarsest pixels; for unpadded convolutions larger than what they cut off.

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
    # Some leave out more at the end than at the start; mirrored or turned, nothing would fit.
    rim = tuple(
        max(b, side - length - b) for b, side, length in zip(before, patch, result, strict=True)
    )
    kept = tuple(side - 2 * r for side, r in zip(patch, rim, strict=True))
    return Shape(tuple(patch), kept, rim)


def sources_of(data: Sequence[AnnotatedImage], scaling: NormalisationSpec) -> list[PatchSource]:
    """Return the examples with their normalisation."""
    found = []
    for example in data:
        axes = "C" + "ZYX"[1 - example.image.ndim :]
        normalisation = example.normalisation
        if normalisation is None:
            normalisation = fit_normalisation(Image(example.image, axes), scaling)
        found.append(
            PatchSource(example.image, example.annotation, normalisation, times=example.times)
        )
    return found


def prepared(
    spec: ModelSpec,
    data: Sequence[AnnotatedImage],
    options: TrainOptions,
    shape: Shape,
    guess: Guess | None,
    scaling: NormalisationSpec,
    decoder: DecoderSpec | None = None,
) -> tuple[Drawer, Judge]:
    """Hold out what to judge by, and return who draws patches and who judges."""
    annotations = [example.annotation for example in data]
    training, held = split(annotations, options.validation, seed=options.seed)
    sources = sources_of(data, scaling)
    guesses: Sequence[NDArray[np.float16] | None] = guess or [None] * len(data)
    by_class, weighs = options.balances(dense=annotations[0].dense)
    reader = Reader(spec.inside(), shape)
    # Held out at full resolution, where strokes that lie close are still two.
    shrink = spec.shrink(len(sources[0].image.shape) - 1)
    images = [shrunken_image(source.image, shrink) for source in sources]
    maps = [maps_of(example, decoder, shrink) for example in data]
    shares = image_shares(training, objects=decoder is not None)
    training = [shrunken_annotation(annotation, shrink) for annotation in training]
    held = [shrunken_annotation(annotation, shrink) for annotation in held]
    guesses = [
        None if one is None else shrunken_image(one, shrink).astype(np.float16) for one in guesses
    ]
    learnt, kept = (
        [
            PatchSource(image, annotation, source.normalisation, one, true, source.times)
            for image, source, annotation, one, true in zip(
                images, sources, some, guesses, maps, strict=True
            )
        ]
        for some in (training, held)
    )
    drawer = Drawer(
        learnt,
        reader,
        shape,
        by_class=by_class,
        class_weights=class_weights(training, 0.5 if weighs else 0.0),
        rng=np.random.default_rng(options.seed),
        shares=shares,
    )
    return drawer, Judge(kept, reader, shape)


def maps_of(
    example: AnnotatedImage, decoder: DecoderSpec | None, shrink: tuple[int, ...]
) -> NDArray[np.float16] | None:
    """Return what a decoder is to say of an example, shrunk as its image is.

    Raises
    ------
    InputError
        When there is a decoder, but the annotation is no ids of objects.
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


def check_alike(data: Sequence[AnnotatedImage]) -> None:
    channels = {len(example.image) for example in data}
    if len(channels) > 1:
        raise InputError(
            f"The images have different numbers of channels ({sorted(channels)}). Train on images "
            "of one kind."
        )
    if len({example.image.ndim for example in data}) > 1:
        raise InputError("Some images are planes and some are stacks. Train on one kind.")
