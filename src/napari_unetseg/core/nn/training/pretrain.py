"""`pretrain`: self-supervised pretraining of a network on images without labels.

The network gets an image with parts hidden or with noise added, and learns to restore it. Encoder
and decoder then have learnt edges, textures and shapes of the same microscope, and a training from
a few labels starts from them; the last layer, which predicted grey levels, is replaced.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unetseg.core.annotation.annotation import IGNORED, AnnotatedImage, Annotation
from napari_unetseg.core.annotation.pretrain_options import PretrainOptions
from napari_unetseg.core.annotation.shrinking import shrunken_image
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import channels_first
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.nn.inference.network_segmenter import MEMORY_FORMAT
from napari_unetseg.core.nn.inference.runtime import (
    choose_device,
    keep_freed_memory,
    mixed_precision,
    threads,
)
from napari_unetseg.core.nn.networks.build_network import build_network
from napari_unetseg.core.nn.training.augment import TrainingBatch, augment
from napari_unetseg.core.nn.training.fit_network import FEWEST_STEPS, predict_middle
from napari_unetseg.core.nn.training.patches import Reader, Shape
from napari_unetseg.core.nn.training.prepare import patch_shape
from napari_unetseg.core.nn.training.schedule import Clock, learning_rate
from napari_unetseg.core.nn.training.transfer import Average
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.progress import Progress, StopEarly, silent

MOST_PLANES = 500
"""Largest number of planes or stacks to learn from, drawn at random."""

_JUDGED_BATCHES = 4

Corrupt = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""From images (N, C, *spatial) to corrupted ones, and the mask (N, 1, *spatial) of the loss."""


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A network pretrained on images, without classes.

    Parameters
    ----------
    spec, n_channels, ndim
        Its spec, and the channels and axes of its images.
    network
        In evaluation mode, on the CPU. Its last layer predicts grey levels: a training replaces it.
    options, images
        The options, and the number of planes or stacks.
    explained
        Explained share of the variance of the hidden pixels, or of the clean image, over new
        patches of the same images: 0 for their mean, 1 for a perfect restoration.
    steps
        Number of batches it learnt from.
    """

    spec: ModelSpec
    n_channels: int
    ndim: int
    network: nn.Module
    options: PretrainOptions
    images: int
    explained: float
    steps: int

    @property
    def message(self) -> str:
        """A sentence about the pretraining and its result."""
        target = {"masked": "the hidden parts", "denoise": "the image without its noise"}
        return (
            f"Pretrained on {self.images} image{'s' * (self.images != 1)} without labels: it "
            f"restores {self.explained:.0%} of {target[self.options.pretrain_task]}."
        )

    def fits(self, spec: ModelSpec, n_channels: int, ndim: int, options: PretrainOptions) -> bool:
        """Whether it was pretrained with this spec, these images' axes and these options."""
        return (self.spec, self.n_channels, self.ndim, self.options) == (
            spec,
            n_channels,
            ndim,
            options,
        )


def pretrain(
    spec: ModelSpec,
    images: Sequence[Image],
    options: PretrainOptions = PretrainOptions(),  # noqa: B008 - frozen
    training: TrainOptions = TrainOptions(),  # noqa: B008
    *,
    ndim: int = 2,
    scaling: NormalisationSpec = NormalisationSpec(),  # noqa: B008
    progress: Progress = silent,
) -> Pretrained:
    """Train a network to restore corrupted images.

    Parameters
    ----------
    spec
        The network, with a fixed resolution.
    images
        Images of the same channels, with or without labels.
    options
        Kind of corruption, and duration.
    training
        Its patch, batch, learning rate, flips and turns, averaging, seed and device are used.
    ndim
        2 for planes, 3 for stacks.
    scaling
        How each image is normalised, by its own statistics.
    progress
        Called after each step. On `StopEarly` the network so far is returned; `Cancelled` is not
        caught.

    Raises
    ------
    InputError
        When there is no image, or they differ in channels or axes.

    Notes
    -----
    The loss is the mean squared error over the hidden pixels, or over all, divided by their
    variance.

    References
    ----------
    Pathak et al.: Context encoders, CVPR 2016; He et al.: Masked autoencoders, CVPR 2022; Vincent
    et al.: Denoising autoencoders, ICML 2008.
    """
    sources = _sources(images, ndim, scaling, training.seed)
    timed = options.pretrain_steps == 0
    plan = training.with_rate(continues=False).model_copy(
        update={
            "until": "time" if timed else "epochs",
            "budget": options.pretrain_minutes,
            "epochs": 1,
        }
    )
    choice = choose_device(training.device)
    keep_freed_memory()
    with (
        torch.random.fork_rng(devices=[]),
        threads(spare_core=training.spare_core),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        torch.manual_seed(training.seed)
        return _Pretraining(spec, sources, options, plan, choice.device, ndim).run(progress)


class _Pretraining:
    """The state of one pretraining."""

    def __init__(
        self,
        spec: ModelSpec,
        sources: Sequence[AnnotatedImage],
        options: PretrainOptions,
        plan: TrainOptions,
        device: torch.device,
        ndim: int,
    ) -> None:
        self._spec, self._options, self._plan, self._device = spec, options, plan, device
        self._ndim, self._n_channels = ndim, len(sources[0].image)
        self._n_images = len(sources)
        inside: Any = spec.inside()
        network = build_network(inside, self._n_channels, self._n_channels, ndim, seed=plan.seed)
        shape = patch_shape(spec, sources, plan, network)
        self._draw = _Drawer(sources, spec, shape, plan)
        self._corrupt = corruption(options)
        self._network = network.to(device, memory_format=MEMORY_FORMAT[ndim])  # type: ignore[call-overload]
        self._average = Average(self._network, copy.deepcopy(self._network), plan.averaging)
        self._optimiser = torch.optim.AdamW(
            self._network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
        self._chance = torch.Generator().manual_seed(plan.seed)
        self._clock = Clock(plan, options.pretrain_steps or FEWEST_STEPS)

    def run(self, progress: Progress) -> Pretrained:
        """Train until the time or the steps run out, or `StopEarly` is raised."""
        step = 0
        try:
            progress(0.0, "pretraining")
            while (fraction := self._clock.fraction(step)) < 1:
                for group in self._optimiser.param_groups:
                    group["lr"] = learning_rate(fraction, self._plan)
                self._network.train()
                loss = self._loss(self._network)
                self._optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
                self._optimiser.step()
                self._average.update()
                step += 1
                progress(min(fraction, 1.0), f"pretraining, {1 - float(loss.detach()):.0%} right")
        except StopEarly:
            pass
        network = self._average.network.eval()
        with torch.no_grad():
            losses = [float(self._loss(network)) for _ in range(_JUDGED_BATCHES)]
        explained = 1 - float(np.mean(losses))
        # The same weights, in a network for images at full size.
        whole = build_network(self._spec, self._n_channels, self._n_channels, self._ndim, seed=0)
        whole.load_state_dict(network.state_dict())
        return Pretrained(
            self._spec,
            self._n_channels,
            self._ndim,
            whole.cpu().eval(),
            self._options,
            self._n_images,
            explained,
            step,
        )

    def _loss(self, network: nn.Module) -> Tensor:
        """Return the squared error on new patches, divided by their variance."""
        batch = augment(self._draw(self._plan.batch), self._plan, self._chance)
        clean = batch.image[:, : batch.n_image]
        corrupted, mask = self._corrupt(clean, self._chance)
        inputs = torch.cat([corrupted, batch.image[:, batch.n_image :]], 1).to(self._device)
        inputs = inputs.contiguous(memory_format=MEMORY_FORMAT[self._ndim])
        sides = batch.target.shape[1:]
        with mixed_precision(self._device, self._plan.precision):
            restored = predict_middle(network, inputs, sides).float()
        clean, mask = (_middle(part, sides).to(self._device) for part in (clean, mask))
        weight = mask.expand_as(clean)
        total = weight.sum().clamp_min(1)
        mean = (clean * weight).sum() / total
        variance = ((clean - mean) ** 2 * weight).sum() / total
        return ((restored - clean) ** 2 * weight).sum() / total / variance.clamp_min(1e-6)


def corruption(options: PretrainOptions) -> Corrupt:
    """Return the function that corrupts images and gives the mask of the loss."""

    def masked(images: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        side = options.mask_side
        cells = [-(-length // side) for length in images.shape[2:]]
        hidden = torch.rand(len(images), 1, *cells, generator=chance) < options.mask_share
        wide = F.interpolate(hidden.float(), scale_factor=float(side), mode="nearest")
        inside: Any = (..., *(slice(length) for length in images.shape[2:]))
        mask = wide[inside]
        # The mean of the visible pixels gives the least away of the hidden ones.
        axes = tuple(range(2, images.ndim))
        visible = (images * (1 - mask)).sum(axes, keepdim=True)
        mean = visible / (1 - mask).sum(axes, keepdim=True).clamp_min(1)
        return torch.where(mask > 0, mean, images), mask

    def denoise(images: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        axes = tuple(range(1, images.ndim))
        spread = options.added_noise * images.std(axes, keepdim=True)
        grain = torch.randn(images.shape, generator=chance)
        return images + spread * grain, torch.ones_like(images[:, :1])

    return {"masked": masked, "denoise": denoise}[options.pretrain_task]


class _Drawer:
    """Sampler of patches from anywhere, from each image in proportion to its pixels."""

    def __init__(
        self, sources: Sequence[AnnotatedImage], spec: ModelSpec, shape: Shape, plan: TrainOptions
    ) -> None:
        shrink = spec.shrink(len(shape.patch))
        self._sources = [_shrunken(source, shrink) for source in sources]
        self._reader, self._shape = Reader(spec.inside(), shape), shape
        sizes = np.array([source.annotation.targets.size for source in self._sources], float)
        self._odds = sizes / sizes.sum()
        self._rng = np.random.default_rng(plan.seed)

    def __call__(self, n: int) -> TrainingBatch:
        patches = []
        for _ in range(n):
            source = self._sources[int(self._rng.choice(len(self._odds), p=self._odds))]
            room = np.maximum(np.array(source.annotation.shape) - self._shape.result, 0)
            start = tuple(int(s) for s in self._rng.integers(0, room + 1))
            patches.append(self._reader.image(source, start))
        nothing = torch.zeros(n, *self._shape.result)
        n_image = len(self._sources[0].image)
        return TrainingBatch(torch.from_numpy(np.stack(patches)), nothing.long(), nothing, n_image)


def _sources(
    images: Sequence[Image], ndim: int, scaling: NormalisationSpec, seed: int
) -> list[AnnotatedImage]:
    """Return the planes or stacks of all images, with empty annotations."""
    if not images:
        raise InputError("There is no image to pretrain on. Give at least one, without labels.")
    if len({image.n_channels for image in images}) > 1:
        raise InputError(
            "The images to pretrain on have different numbers of channels. Give images of one kind."
        )
    axes = "ZYX"[-ndim:]
    if any(axis not in image.axes for image in images for axis in axes):
        raise InputError(
            "Some images to pretrain on are no stacks, but stacks are to be learnt. Give stacks, "
            "or learn planes."
        )
    places = [(image, index) for image in images for index in image.indices("C" + axes)]
    chosen = np.random.default_rng(seed).permutation(len(places))[:MOST_PLANES]
    scalings = {id(image): fit_normalisation(image, scaling) for image in images}
    found = []
    for image, index in (places[k] for k in sorted(chosen)):
        numbers = np.asarray(channels_first(image, index, axes))
        found.append(
            AnnotatedImage(numbers, _empty_annotation(numbers.shape[1:]), scalings[id(image)])
        )
    return found


def _empty_annotation(shape: Sequence[int]) -> Annotation:
    """Return an empty annotation, in one byte of memory."""
    blank: NDArray[np.uint8] = np.broadcast_to(np.uint8(IGNORED), tuple(shape))
    return Annotation(blank, (1, 2), ("1", "2"))


def _shrunken(source: AnnotatedImage, shrink: tuple[int, ...]) -> AnnotatedImage:
    image = shrunken_image(source.image, shrink)
    return replace(source, image=image, annotation=_empty_annotation(image.shape[1:]))


def _middle(image: Tensor, sides: Sequence[int]) -> Tensor:
    for axis, side in enumerate(sides, start=2):
        image = image.narrow(axis, (image.shape[axis] - side) // 2, side)
    return image


__all__ = ["Pretrained", "corruption", "pretrain"]
