"""Read training pairs and save models, for the commands that train."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, get_args

import typer

from napari_unetseg.cli.console import bar, note, note_sizes
from napari_unetseg.cli.file_pairs import Pair
from napari_unetseg.cli.image_flags import read_seen
from napari_unetseg.core.annotation.annotation import TrainingPair, values_of
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.atomic_files import check_output
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import read_labels
from napari_unetseg.core.io.image_step import ImageStep
from napari_unetseg.core.label_image import known_labels, labels_like
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.models_io.native.package import SUFFIX
from napari_unetseg.core.progress import track

TrainingImages = Annotated[
    str, typer.Argument(metavar="IMAGES", help="A file, a folder or a quoted glob.")
]
TrainingLabels = Annotated[
    str,
    typer.Argument(
        metavar="LABELS",
        help="Labels with the same names, or with an ending such as _mask: file, folder or glob.",
    ),
]

KINDS: tuple[str, ...] = get_args(AnnotationKind)
"""Kinds of annotation."""


def read_training_pairs(
    pairs: Sequence[Pair],
    labels_are: AnnotationKind,
    finished: Mapping[Path, Path] = MappingProxyType({}),
    *,
    seen: ImageStep,
) -> list[TrainingPair]:
    """Read images and labels, check that they fit together, and note which pixels are left out.

    Parameters
    ----------
    labels_are
        Meaning of the labels.
    finished
        The regions file of an image, nonzero where it is completely annotated, by the image's file.
    seen
        Axes and channels of the images.
    """
    training_pairs: list[TrainingPair] = []
    with bar("read") as progress:
        for pair in track(pairs, progress):
            said: list[str] = []
            image = read_seen(pair.first, seen)
            labels = labels_like(read_labels(pair.second, note=said.append), image)
            note_sizes(pair.first, image, pair.second, labels)
            expected = tuple(image.length(axis) for axis in image.axes if axis != "C")
            if len(labels.shape) < len(expected) and labels.shape == expected[-2:]:
                raise InputError(
                    f"{pair.second} is of one plane and {pair.first} of several, so it is "
                    "not clear which plane was annotated. Give labels of the image's size, with 0 "
                    "in the other planes; mark the plane by --regions unless these are scribbles."
                )
            if labels.shape != expected:
                raise InputError(
                    f"{pair.second} has the shape {labels.shape} and {pair.first} {expected}: give "
                    "labels of the image's size."
                )
            if training_pairs and image.n_channels != training_pairs[0].image.n_channels:
                raise InputError(
                    f"{pair.first} has {image.n_channels} channel(s) and {pairs[0].first} "
                    f"{training_pairs[0].image.n_channels}. Train on images with the same channels."
                )
            region_file = finished.get(pair.first)
            region = None
            if region_file is not None:
                region = known_labels(labels_like(read_labels(region_file), image)).asarray()
            if region is not None and region.shape != expected:
                raise InputError(
                    f"{region_file} has the shape {region.shape} and {pair.first} {expected}: give "
                    "regions of the image's size."
                )
            read = TrainingPair(image, labels.asarray(), region)
            said += read.notes(labels_are, str(pair.first), str(pair.second))
            for sentence in dict.fromkeys(said):
                note(sentence)
            training_pairs.append(read)
    return training_pairs


def mask_hint(pairs: Sequence[TrainingPair], labels_are: AnnotationKind) -> str:
    """Return a hint if scribbles have a single value, which are probably a mask."""
    if labels_are != "scribbles":
        return ""
    if len(values_of([pair.labels for pair in pairs], "scribbles")) != 1:
        return ""
    return " If 0 is background in these labels, give --labels-are mask."


def check_out(out: Path) -> None:
    """Check that the model can be written, before spending time on training."""
    if out.suffix.lower() != SUFFIX:
        raise InputError(f"The model file {out} must end in {SUFFIX}.")
    check_output(out)


def check_choice(flag: str, value: object, choices: Sequence[object]) -> None:
    if value is not None and value not in choices:
        listed = ", ".join(map(str, choices))
        raise InputError(f"{flag} {value!r}: choose one of {listed}.")


def spare_waiting_threads() -> None:
    """Make torch's threads sleep while they wait; must be called before torch is imported.

    Spinning threads multiply the time on a busy machine.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def save_somewhere(model: TrainedModel, out: Path) -> None:
    """Save a trained model, in a temporary folder if its file cannot be written.

    Raises
    ------
    InputError
        When the file could not be written; the message names the file in the temporary folder.
    """
    try:
        save(model, out)
    except InputError as error:
        refuge = Path(tempfile.mkdtemp(prefix="napari-unetseg-")) / out.name
        save(model, refuge)
        raise InputError(f"{error} The model was saved as {refuge}.") from error


__all__ = [
    "KINDS",
    "TrainingImages",
    "TrainingLabels",
    "check_choice",
    "check_out",
    "mask_hint",
    "read_training_pairs",
    "save_somewhere",
    "spare_waiting_threads",
]
