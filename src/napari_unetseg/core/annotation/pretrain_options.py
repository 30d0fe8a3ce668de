"""Options of pretraining; without torch, so that forms and files open at once."""

from typing import Literal

from napari_unetseg.core.options import Options, option

PretrainTask = Literal["masked", "denoise"]


class PretrainOptions(Options):
    """Options of pretraining a network on images without labels, before training on labels."""

    pretrain_task: PretrainTask = option(
        "denoise",
        "Pretraining",
        "Task that is learnt without labels. Masked: restore hidden squares of the image from "
        "their surroundings. Denoise: remove added noise; in our measurements it helped more "
        "often.",
    )
    pretrain_minutes: float = option(
        1.0,
        "Minutes before",
        "Duration of the pretraining, in addition to that of the training.",
        gt=0,
        le=10_000,
        step=0.5,
    )
    pretrain_steps: int = option(
        0,
        "Steps before",
        "Number of batches to pretrain for, instead of minutes; 0 for minutes. Only a number of "
        "steps gives the same result every time.",
        ge=0,
        le=1_000_000,
        advanced=True,
    )
    mask_share: float = option(
        0.5,
        "Hidden share",
        "Share of the image that is hidden.",
        when={"pretrain_task": ("masked",)},
        ge=0.1,
        le=0.9,
        step=0.05,
        advanced=True,
    )
    mask_side: int = option(
        8,
        "Hidden squares",
        "Side of the hidden squares, in pixels at the resolution of the network.",
        when={"pretrain_task": ("masked",)},
        ge=1,
        le=128,
        advanced=True,
    )
    added_noise: float = option(
        0.5,
        "Added noise",
        "Standard deviation of the noise, relative to that of the image.",
        when={"pretrain_task": ("denoise",)},
        ge=0.05,
        le=5,
        step=0.05,
        advanced=True,
    )


__all__ = ["PretrainOptions", "PretrainTask"]
