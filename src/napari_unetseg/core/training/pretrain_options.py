"""How a network is pretrained on images without labels, as options: no torch."""

from typing import Literal

from napari_unetseg.core.options import Options, option

PretrainTask = Literal["masked", "denoise"]


class PretrainOptions(Options):
    """How a network is pretrained on images without labels, before it learns from the labels."""

    pretrain_task: PretrainTask = option(
        "denoise",
        "Pretraining",
        "What is learnt without labels. Masked: squares of the image are hidden, and told from "
        "what is around them. Denoise: noise is added, and taken out again; it helped more often "
        "where both were measured.",
    )
    pretrain_minutes: float = option(
        1.0,
        "Minutes before",
        "How long to pretrain, besides the minutes of the training itself.",
        gt=0,
        le=10_000,
        step=0.5,
    )
    pretrain_steps: int = option(
        0,
        "Steps before",
        "Pretrain for so many batches instead; 0 to go by the minutes. Only steps give the same "
        "result every time.",
        ge=0,
        le=1_000_000,
        advanced=True,
    )
    mask_share: float = option(
        0.5,
        "Hidden share",
        "Part of the image that is hidden.",
        when={"pretrain_task": ("masked",)},
        ge=0.1,
        le=0.9,
        step=0.05,
        advanced=True,
    )
    mask_side: int = option(
        8,
        "Hidden squares",
        "Side in pixels, at the resolution of the network, of the squares that are hidden.",
        when={"pretrain_task": ("masked",)},
        ge=1,
        le=128,
        advanced=True,
    )
    added_noise: float = option(
        0.5,
        "Added noise",
        "Standard deviation of the noise, as a part of the image's own spread.",
        when={"pretrain_task": ("denoise",)},
        ge=0.05,
        le=5,
        step=0.05,
        advanced=True,
    )


__all__ = ["PretrainOptions", "PretrainTask"]
