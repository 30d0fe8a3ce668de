"""Options of training; without torch, so that forms and files open at once."""

from typing import Literal

from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.options import Device, Options, device_option, option


class TrainOptions(Options):
    """Options of training a CNN or a UNet.

    The budget in minutes is the most important one; all others have measured defaults.
    """

    until: Literal["time", "epochs"] = option(
        "time",
        "Train for",
        "So many minutes, or so many epochs. Only epochs give the same result every time.",
    )
    budget: float = option(
        2.0,
        "Minutes",
        "How long to train. The learning rate falls to zero at the end of it, so half the time is "
        "not half the training.",
        when={"until": ("time",)},
        gt=0,
        le=10_000,
        step=0.5,
    )
    epochs: int = option(
        30,
        "Epochs",
        "How often to go through the annotated area.",
        when={"until": ("epochs",)},
        ge=1,
        le=100_000,
    )
    steps: int = option(
        0,
        "Steps an epoch",
        "Batches in one epoch; 0 for as many as cover the annotated area, at least 20.",
        ge=0,
        le=100_000,
        advanced=True,
    )
    learning_rate: float = option(
        0.003,
        "Learning rate",
        "Largest step of the optimiser. Smaller when the loss jumps, larger when it creeps.",
        gt=0,
        le=1,
        step=0.001,
        advanced=True,
    )
    schedule: Literal["one-cycle", "cosine", "constant"] = option(
        "one-cycle",
        "Schedule",
        "How the learning rate runs: a long rise and a fall, a short rise and a fall, or a short "
        "rise and then constant.",
        advanced=True,
    )
    weight_decay: float = option(
        0.0001,
        "Weight decay",
        "Pull of the weights towards zero; against learning by heart.",
        ge=0,
        le=1,
        step=0.0001,
        advanced=True,
    )
    patch: int = option(
        128,
        "Patch size",
        "Side in pixels of the pieces to train on, at the resolution the network works at; in a "
        "stack, of its planes. Small ones make more steps in the same time; larger ones show more "
        "of large objects. Rounded to what the network can take.",
        ge=8,
        le=2048,
        advanced=True,
    )
    patch_depth: int = option(
        16, "Patch depth", "Planes of a piece of a stack.", ge=1, le=512, advanced=True
    )
    batch: int = option(4, "Batch", "Patches in one step.", ge=1, le=256)

    dice: float = option(
        0.5,
        "Dice share",
        "Part of the loss that is the Dice overlap; the rest is the cross-entropy of each pixel.",
        ge=0,
        le=1,
        step=0.1,
        advanced=True,
    )
    balance: Literal["auto", "none", "patches", "loss", "both"] = option(
        "auto",
        "Balance classes",
        "Help a class with few pixels: draw patches from each class as often, weigh its pixels "
        "higher, or both. Automatic is both for scribbles and patches for masks.",
        advanced=True,
    )

    objects: Literal["distance", "boundary", "none"] = option(
        "distance",
        "Objects by",
        "From labels that are objects a network also learns what tells touching ones apart: each "
        "pixel's share of the way from the edge to the middle of its object, or whether it is at "
        "the edge. None learns foreground alone.",
        advanced=True,
    )
    maps: float = option(
        1.0,
        "Weight of objects",
        "How much telling objects apart counts beside foreground.",
        when={"objects": ("distance", "boundary")},
        gt=0,
        le=100,
        step=0.5,
        advanced=True,
    )

    flips: bool = option(True, "Flips", "Train on mirrored patches too.")
    quarter_turns: bool = option(True, "Quarter turns", "Train on turned patches too.")
    rotation: float = option(
        0.0,
        "Rotation",
        "Turn by any angle up to so many degrees.",
        ge=0,
        le=180,
        step=5,
        advanced=True,
    )
    scale: float = option(
        0.0,
        "Scale",
        "Enlarge or shrink by up to this part: 0.2 is from 0.83 to 1.2 times.",
        ge=0,
        le=1,
        step=0.05,
        advanced=True,
    )
    elastic: float = option(
        0.0,
        "Elastic",
        "Bend smoothly by up to about so many pixels.",
        ge=0,
        le=50,
        step=1,
        advanced=True,
    )
    intensity: float = option(
        0.2,
        "Intensity",
        "Change brightness, contrast and gamma by up to about this part.",
        ge=0,
        le=1,
        step=0.05,
        advanced=True,
    )
    blur: float = option(
        0.0,
        "Blur",
        "Soften some patches by a Gaussian of up to so many pixels.",
        ge=0,
        le=5,
        step=0.5,
        advanced=True,
    )
    noise: float = option(
        0.0,
        "Noise",
        "Add noise of up to this part of the image's own spread.",
        ge=0,
        le=1,
        step=0.05,
        advanced=True,
    )

    validation: float = option(
        0.2,
        "Validation share",
        "Part of the annotation held out to judge by: whole strokes, tiles or images. The best "
        "network by it is kept; with 0 it is the last.",
        ge=0,
        le=0.8,
        step=0.05,
    )
    patience: int = option(
        0,
        "Patience",
        "Early stopping: end after so many validations without a better one; 0 to use all the "
        "time. Use it when you give more minutes than may be needed; the best is kept anyway.",
        ge=0,
        le=10_000,
        advanced=True,
    )
    averaging: float = option(
        0.99,
        "Averaging",
        "Judge and keep a running mean of the weights, of about 1 / (1 - this) steps; 0 for none. "
        "Against swinging.",
        ge=0,
        lt=1,
        step=0.01,
        advanced=True,
    )
    climbing: Literal["auto", "on", "off"] = option(
        "auto",
        "Climb",
        "Stand on the logistic rung: where nothing is painted, learn what that rung says; the "
        "strokes overrule it. Automatic is on for scribbles.",
    )
    freeze: int = option(
        0,
        "Freeze for",
        "When starting from a saved network: epochs in which only the parts after its encoder "
        "learn.",
        ge=0,
        le=10_000,
        advanced=True,
    )
    seed: int = option(
        0, "Seed", "The same seed draws the same.", ge=0, le=2**31 - 1, advanced=True
    )
    device: Device = device_option()
    spare_core: bool = option(
        False,
        "Spare a core",
        "Leave one processor core to everything else.",
        advanced=True,
    )
    preview_every: float = option(
        5.0,
        "Preview every",
        "Seconds between previews of the visible field; at most a fifth of the time goes there.",
        ge=0.5,
        le=3600,
        step=1,
        advanced=True,
    )

    @property
    def decoder(self) -> DecoderSpec | None:
        """Decoder of the objects that a network learns besides foreground; None for classes."""
        return None if self.objects == "none" else DecoderSpec(decoding=self.objects)

    def climbs(self, *, dense: bool) -> bool:
        """Whether to distil a lower rung, given whether every pixel is annotated."""
        return self.climbing == "on" or (self.climbing == "auto" and not dense)

    def balances(self, *, dense: bool) -> tuple[bool, bool]:
        """Whether to draw patches by class, and whether to weigh the loss by class."""
        by = self.balance
        if by == "auto":
            by = "patches" if dense else "both"
        return by in ("patches", "both"), by in ("loss", "both")
