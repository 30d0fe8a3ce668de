"""Pretraining of a network on images without labels; without torch at import."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unetseg.core.annotation.pretrain_options import PretrainOptions
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.progress import Progress, StopRecorder, part

if TYPE_CHECKING:
    from napari_unetseg.core.nn.training.pretrain import Pretrained


@dataclass(frozen=True, eq=False)
class Pretraining:
    """Images and options of a pretraining.

    Parameters
    ----------
    images
        Images with the channels and axes of the labelled ones; their own labels are not used.
    options
        Options of the pretraining.
    done
        An earlier result on the same images, used again where it fits.
    """

    images: Sequence[Image]
    options: PretrainOptions
    done: "Pretrained | None" = None

    def network(
        self,
        spec: ModelSpec,
        n_channels: int,
        ndim: int,
        training: TrainOptions,
        scaling: NormalisationSpec,
        progress: Progress,
    ) -> "tuple[Pretrained, Progress]":
        """Pretrain a network; return it and the remaining progress, for the training.

        Raises
        ------
        InputError
            As `nn.training.pretrain.pretrain`; when the images have other channels; or when it
            was stopped early, since then nothing was learnt from labels.
        """
        from napari_unetseg.core.nn.training.pretrain import pretrain

        if self.done is not None and self.done.fits(spec, n_channels, ndim, self.options):
            return self.done, progress
        images = [image.grey() if n_channels == 1 else image for image in self.images]
        unlike = next((image for image in images if image.n_channels != n_channels), None)
        if unlike is not None:
            raise InputError(
                f"An image to pretrain on has {unlike.n_channels} channel(s), but those with "
                f"labels have {n_channels}. Pretrain on images of the same kind."
            )
        share = 0.4
        if training.until == "time" and not self.options.pretrain_steps:
            minutes = self.options.pretrain_minutes
            share = minutes / (minutes + training.budget)
        recorder = StopRecorder(part(progress, 0, share))
        done = pretrain(
            spec, images, self.options, training, ndim=ndim, scaling=scaling, progress=recorder
        )
        if recorder.stopped_at is not None:
            raise InputError(
                "Stopped while it was still pretraining: nothing was learnt from the labels yet, "
                "and nothing was changed. Pretrain for fewer minutes, or train without."
            )
        return done, part(progress, share, 1)


__all__ = ["Pretraining"]
