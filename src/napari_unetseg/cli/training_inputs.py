"""What the commands that train have in common: what they learn from, and where models go."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, get_args

import typer

from napari_unetseg.cli.console import bar
from napari_unetseg.cli.file_pairs import Pair
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import read_image, read_labels
from napari_unetseg.core.model.annotation_kind import AnnotationKind
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.models_io.native.package import SUFFIX
from napari_unetseg.core.progress import track
from napari_unetseg.core.training.annotation import (
    values_of,
)
from napari_unetseg.core.training.train import TrainingPair

ImagesToLearn = Annotated[
    str, typer.Argument(metavar="IMAGES", help="A file, a folder or a quoted glob.")
]
LabelsToLearn = Annotated[
    str, typer.Argument(metavar="LABELS", help="Labels of the same names: file, folder or glob.")
]

KINDS: tuple[str, ...] = get_args(AnnotationKind)
"""What labels can be."""


def read_lessons(
    pairs: Sequence[Pair], finished: Mapping[Path, Path] = MappingProxyType({})
) -> list[TrainingPair]:
    """Read images and labels, and name the file that does not go with the others.

    Parameters
    ----------
    finished
        The file that says what is finished of an image, by the image's file.
    """
    lessons: list[TrainingPair] = []
    with bar("read") as progress:
        for pair in track(pairs, progress):
            image, labels = read_image(pair.first), read_labels(pair.second)
            wanted = tuple(image.length(axis) for axis in image.axes if axis != "C")
            if labels.shape != wanted:
                raise InputError(
                    f"{pair.second} has the shape {labels.shape} and {pair.first} {wanted}: give "
                    "labels of the image's size."
                )
            if lessons and image.n_channels != lessons[0].image.n_channels:
                raise InputError(
                    f"{pair.first} has {image.n_channels} channel(s) and {pairs[0].first} "
                    f"{lessons[0].image.n_channels}. Train on images of one kind."
                )
            place = finished.get(pair.first)
            region = None if place is None else read_labels(place).asarray()
            if region is not None and region.shape != wanted:
                raise InputError(
                    f"{place} has the shape {region.shape} and {pair.first} {wanted}: give regions "
                    "of the image's size."
                )
            lessons.append(TrainingPair(image, labels.asarray(), region))
    return lessons


def hint_of(lessons: Sequence[TrainingPair], labels_are: AnnotationKind) -> str:
    """Return what else may be wrong: labels with one value are rarely scribbles."""
    if labels_are != "scribbles":
        return ""
    if len(values_of([lesson.labels for lesson in lessons], "scribbles")) != 1:
        return ""
    return " If 0 is background in these labels, say --labels-are mask."


def check_out(out: Path) -> None:
    """Check the place of the model before the time is spent."""
    if out.suffix.lower() != SUFFIX:
        raise InputError(f"The model file {out} must end in {SUFFIX}.")
    if out.is_dir():
        raise InputError(f"{out} is a folder. Give the name of a file.")
    near = next(place for place in out.absolute().parents if place.exists())
    if not near.is_dir() or not os.access(near, os.W_OK):
        raise InputError(f"Nothing can be written in {near}. Choose another place.")


def check_choice(flag: str, value: object, choices: Sequence[object]) -> None:
    if value is not None and value not in choices:
        listed = ", ".join(map(str, choices))
        raise InputError(f"{flag} {value!r}: choose one of {listed}.")


def spare_waiting_threads() -> None:
    """Let torch's threads sleep while they wait, which it reads when it is first imported.

    Threads that spin cost a busy machine a multiple of the time.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def save_somewhere(model: TrainedModel, out: Path) -> None:
    """Save a model that took time to make: elsewhere rather than nowhere.

    Raises
    ------
    InputError
        When it could not be written where it was wanted; the sentence says where it is.
    """
    try:
        save(model, out)
    except InputError as error:
        refuge = Path(tempfile.mkdtemp(prefix="napari-unetseg-")) / out.name
        save(model, refuge)
        raise InputError(f"{error} The model is kept as {refuge}.") from error


__all__ = [
    "KINDS",
    "ImagesToLearn",
    "LabelsToLearn",
    "check_choice",
    "check_out",
    "hint_of",
    "read_lessons",
    "save_somewhere",
    "spare_waiting_threads",
]
