"""Calibration: how a trained model makes objects, chosen anew by images with known objects."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.training_set import Reading
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.open_segmenter import open_segmenter
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.objects.choose_decoding import (
    FEWEST_OBJECTS,
    DecodingChoice,
    cautious_decoding,
    choose_decoding,
    describe_decoding,
)
from napari_unetseg.core.progress import Progress, part, silent

CALIBRATION_PIXELS = 2**23
"""Largest number of pixels predicted for a calibration; of a large image only a piece."""

_PREDICTING_SHARE = 0.5


@dataclass(frozen=True)
class Calibration:
    """A model that makes objects in a newly chosen way, and what the choice rests on."""

    model: TrainedModel
    choice: DecodingChoice
    message: str


def calibrate_model(
    model: TrainedModel, pairs: Sequence[TrainingPair], *, progress: Progress = silent
) -> Calibration:
    """Choose how a model makes objects by images with known objects; its weights stay.

    Parameters
    ----------
    pairs
        Images and their objects; masks for a model of masks. The fewer of them the model was
        trained on, the better: on those it is too sure of itself.
    progress
        May cancel.

    Returns
    -------
    Calibration
        A copy of the model, with the images and scores in its provenance. With fewer than
        `FEWEST_OBJECTS` objects only a cautious smallest size is chosen.

    Raises
    ------
    InputError
        When image and model do not fit each other, or no object is known.
    """
    from napari_unetseg.core.nn.training.validate_objects import known_objects

    if model.n_channels == 1:
        pairs = [replace(pair, image=pair.image.grey()) for pair in pairs]
    mask = model.labels_are == "mask"
    reading = Reading("mask" if mask else "objects", model.ndim, model.normalisation)
    images = reading.images(pairs)
    known = known_objects(
        open_segmenter(model), images, CALIBRATION_PIXELS, part(progress, 0, _PREDICTING_SHARE)
    )
    usual = model.decoding
    if mask and "split" not in usual.model_fields_set:
        usual = usual.model_copy(update={"split": "none"})
    rest = part(progress, _PREDICTING_SHARE, 1)
    choice = choose_decoding(known, model.decoder, usual, progress=rest)
    if choice is None:
        raise InputError(
            "The labels hold no objects, so there is nothing to choose by how objects are made. "
            f"Give images with objects, at least {FEWEST_OBJECTS} in all."
        )
    decoding = choice.options
    if not choice.searched:
        truths = (image.annotation.object_ids() for image in images)
        decoding = cautious_decoding(usual, truths)
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "images": len(images),
        "objects": choice.n_true,
        "model": model.fingerprint,
        "ap50": [choice.before.ap50, choice.after.ap50],
        "map": [choice.before.map, choice.after.map],
    }
    provenance = {**model.provenance, "calibrated": record}
    calibrated = replace(model, decoding=decoding, provenance=provenance)
    return Calibration(calibrated, choice, describe_decoding(decoding, choice))


__all__ = ["CALIBRATION_PIXELS", "Calibration", "calibrate_model"]
