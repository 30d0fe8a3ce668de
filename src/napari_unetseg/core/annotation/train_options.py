"""Options of training; without torch, so that forms and files open at once."""

from typing import Literal, Self

from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.options import Device, Options, device_option, option, seed_option

Precision = Literal["auto", "float32"]

RATE, CONTINUED_RATE = 0.003, 0.001
"""Automatic learning rate of a network with random weights, and of one that is continued."""


class TrainOptions(Options):
    """Options of training a CNN or a UNet.

    The budget in minutes is the most important one; all others have measured defaults.
    """

    until: Literal["time", "epochs"] = option(
        "time",
        "Train for",
        "A number of minutes or of epochs. Only epochs give reproducible results.",
        group="Training",
    )
    budget: float = option(
        2.0,
        "Minutes",
        "Training time. The learning rate falls to zero at its end, so half the time is not half "
        "the training.",
        when={"until": ("time",)},
        gt=0,
        le=10_000,
        step=0.5,
    )
    epochs: int = option(
        30,
        "Epochs",
        "Number of passes through the annotated area.",
        when={"until": ("epochs",)},
        ge=1,
        le=100_000,
        group="Training",
    )
    steps: int = option(
        0,
        "Steps an epoch",
        "Batches in one epoch; 0 for as many as cover the annotated area, at least 20.",
        ge=0,
        le=100_000,
        advanced=True,
        group="Training",
    )
    learning_rate: float = option(
        0.0,
        "Learning rate",
        f"Largest step of the optimiser; 0 for automatic: {RATE:g}, or {CONTINUED_RATE:g} when a "
        "trained network is continued. Lower it if the loss jumps, raise it if it falls slowly.",
        ge=0,
        le=1,
        step=0.001,
        advanced=True,
        group="Training",
    )
    schedule: Literal["one-cycle", "cosine", "constant"] = option(
        "one-cycle",
        "Schedule",
        "Course of the learning rate: long rise and fall, short rise and fall, or short rise and "
        "then constant.",
        advanced=True,
        group="Training",
    )
    weight_decay: float = option(
        0.0001,
        "Weight decay",
        "L2 regularisation of the weights, which reduces overfitting.",
        ge=0,
        le=1,
        step=0.0001,
        advanced=True,
        group="Training",
    )
    patch: int = option(
        128,
        "Patch size",
        "Side of the training patches in pixels, at the resolution of the network. Small patches "
        "give more steps in the same time; large ones show more of large objects. Rounded to a "
        "size that the network accepts.",
        ge=8,
        le=2048,
        advanced=True,
        group="Training",
    )
    patch_depth: int = option(
        16,
        "Patch depth",
        "Planes per patch of a stack.",
        ge=1,
        le=512,
        advanced=True,
        group="Training",
    )
    batch: int = option(
        4, "Batch", "Patches per step.", ge=1, le=256, advanced=True, group="Training"
    )

    dice: float = option(
        0.5,
        "Dice share",
        "Fraction of the loss that is the Dice overlap; the rest is the cross-entropy per pixel.",
        ge=0,
        le=1,
        step=0.1,
        advanced=True,
        group="Classes and objects",
    )
    balance: Literal["auto", "none", "patches", "loss", "both"] = option(
        "auto",
        "Balance classes",
        "Compensate for rare classes: draw patches equally often from each class, weight the loss "
        "of rare classes higher, or both. Automatic is both for scribbles and patches for masks.",
        advanced=True,
        group="Classes and objects",
    )

    objects: Literal["distance", "boundary", "none"] = option(
        "distance",
        "Objects by",
        "Additional output that separates touching objects, for labels that are objects: the "
        "distance of each pixel from the edge of its object, relative to its middle, or the "
        "boundary. None trains on foreground only.",
        advanced=True,
        group="Classes and objects",
    )
    maps: float = option(
        1.0,
        "Weight of objects",
        "Weight of the loss that separates objects, relative to foreground.",
        when={"objects": ("distance", "boundary")},
        gt=0,
        le=100,
        step=0.5,
        advanced=True,
        group="Classes and objects",
    )

    flips: bool = option(
        True, "Flips", "Augment with mirrored patches.", advanced=True, group="Augmentation"
    )
    quarter_turns: bool = option(
        True,
        "Quarter turns",
        "Augment with patches turned by 90 degrees.",
        advanced=True,
        group="Augmentation",
    )
    rotation: float = option(
        0.0,
        "Rotation",
        "Maximum rotation in degrees.",
        ge=0,
        le=180,
        step=5,
        advanced=True,
        group="Augmentation",
    )
    scale: float = option(
        0.0,
        "Scale",
        "Maximum change of scale: 0.2 is from 0.83 to 1.2 times.",
        ge=0,
        le=1,
        step=0.05,
        advanced=True,
        group="Augmentation",
    )
    elastic: float = option(
        0.0,
        "Elastic",
        "Maximum elastic deformation in pixels, approximately.",
        ge=0,
        le=50,
        step=1,
        advanced=True,
        group="Augmentation",
    )
    intensity: float = option(
        0.2,
        "Intensity",
        "Maximum relative change of brightness, contrast and gamma, approximately.",
        ge=0,
        le=1,
        step=0.05,
        advanced=True,
        group="Augmentation",
    )
    blur: float = option(
        0.0,
        "Blur",
        "Maximum width of a Gaussian blur in pixels, applied to some patches.",
        ge=0,
        le=5,
        step=0.5,
        advanced=True,
        group="Augmentation",
    )
    noise: float = option(
        0.0,
        "Noise",
        "Maximum added noise, as a fraction of the standard deviation of the image.",
        ge=0,
        le=1,
        step=0.05,
        advanced=True,
        group="Augmentation",
    )

    validation: float = option(
        0.2,
        "Validation share",
        "Fraction of the annotation held out for validation: whole strokes, tiles or images. The "
        "network with the best score on it is kept; with 0, the last one.",
        ge=0,
        le=0.8,
        step=0.05,
        advanced=True,
        group="Validation",
    )
    patience: int = option(
        0,
        "Patience",
        "Early stopping: end after so many validations without improvement; 0 uses all the time. "
        "Useful if you allow more minutes than needed; the best network is kept anyway.",
        ge=0,
        le=10_000,
        advanced=True,
        group="Validation",
    )
    averaging: float = option(
        0.99,
        "Averaging",
        "Use a running mean of the weights over about 1 / (1 - this) steps, which reduces "
        "fluctuations; 0 for none.",
        ge=0,
        lt=1,
        step=0.01,
        advanced=True,
        group="Training",
    )
    climbing: Literal["auto", "on", "off"] = option(
        "auto",
        "Distil",
        "Use the logistic model as a guide: where nothing is painted, train on its predictions; "
        "your strokes take priority. Automatic is on for scribbles.",
        advanced=True,
        group="Training",
    )
    freeze: int = option(
        0,
        "Freeze for",
        "Epochs in which only the parts after the encoder are trained, if training starts from a "
        "saved network.",
        ge=0,
        le=10_000,
        advanced=True,
        group="Training",
    )
    seed: int = seed_option("Computer")
    device: Device = device_option("Computer")
    precision: Precision = option(
        "auto",
        "Precision",
        "Precision of the numbers in training. Automatic is bfloat16, up to 1.5 times as fast, on "
        "processors and graphics processors that have it; float32 is alike on all.",
        advanced=True,
        group="Computer",
    )
    spare_core: bool = option(
        False,
        "Spare a core",
        "Leave one processor core to other programs.",
        advanced=True,
        group="Computer",
    )
    preview_every: float = option(
        5.0,
        "Preview every",
        "Seconds between previews of the visible plane; they take at most 4 % of the time.",
        ge=0.5,
        le=3600,
        step=1,
        advanced=True,
        group="Computer",
    )

    @property
    def decoder(self) -> DecoderSpec | None:
        """Decoder of the objects that a network learns besides foreground; None for classes."""
        return None if self.objects == "none" else DecoderSpec(decoding=self.objects)

    def with_rate(self, *, continues: bool) -> Self:
        """Return the options with a learning rate, given whether a trained network is continued."""
        rate = self.learning_rate or (CONTINUED_RATE if continues else RATE)
        return self.model_copy(update={"learning_rate": rate})

    def climbs(self, *, dense: bool) -> bool:
        """Whether to distil a lower rung, given whether every pixel is annotated."""
        return self.climbing == "on" or (self.climbing == "auto" and not dense)

    def balances(self, *, dense: bool) -> tuple[bool, bool]:
        """Whether to draw patches by class, and whether to weigh the loss by class."""
        by = self.balance
        if by == "auto":
            by = "patches" if dense else "both"
        return by in ("patches", "both"), by in ("loss", "both")
