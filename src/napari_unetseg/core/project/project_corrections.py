"""Collect training pairs for fine-tuning from a saved project: corrected and earlier labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.project.project_contents import Contents, LabelsItem
from napari_unetseg.core.training.corrected_labels import kind_of_role, make_corrected_pair
from napari_unetseg.core.training.fine_tune import FineTuneOptions
from napari_unetseg.core.training.model_history import History, Learnt


@dataclass(frozen=True, eq=False)
class ProjectTrainingPairs:
    """Hold the training pairs of a project, and the names of corrected and of missing layers."""

    corrected: tuple[TrainingPair, ...]
    earlier: tuple[TrainingPair, ...]
    names: tuple[str, ...]
    lost: tuple[str, ...]
    base: TrainedModel | None


def collect_training_pairs(
    contents: Contents, model: TrainedModel, options: FineTuneOptions
) -> ProjectTrainingPairs:
    """Collect the corrected layers of a project, and the earlier training pairs of a model.

    Raises
    ------
    InputError
        When no layer was corrected, or one does not fit the model.
    """
    images = {item.key: item.image for item in contents.images}
    labels = {item.key: item for item in contents.labels}
    history = History()
    history.adopt(contents.history, contents.models)
    before = history.before(model)
    image_keys = {learnt.labels_key: learnt.image_key for learnt in before}
    corrected, names = [], []
    for item in contents.labels:
        image = images.get(str(item.mark.get("source") or image_keys.get(item.key, "")))
        if item.ink and image is not None and _is_corrected(item, before):
            corrected.append(_training_pair(item, image, contents, model, options))
            names.append(item.name)
    if not corrected:
        raise InputError(
            "No labels in this project were corrected. Paint, erase or approve something on a "
            "prediction of the model, then train on."
        )
    earlier, missing = [], []
    for learnt in before:
        item_of_pair, source = labels.get(learnt.labels_key), images.get(learnt.image_key)
        if item_of_pair is not None and item_of_pair.name in names:
            continue
        if (
            item_of_pair is None
            or source is None
            or learnt.region_key
            or learnt.labels_are != model.labels_are
        ):
            missing.append(learnt.labels)
            continue
        earlier.append(TrainingPair(source, item_of_pair.labels))
    base = history.base_of(model)
    return ProjectTrainingPairs(
        tuple(corrected), tuple(earlier), tuple(names), tuple(missing), base
    )


def _is_corrected(item: LabelsItem, before: list[Learnt]) -> bool:
    """Return whether locked pixels correct a layer; full annotations are not corrections."""
    return not any(learnt.labels_key == item.key and not learnt.ink for learnt in before)


def _training_pair(
    item: LabelsItem,
    image: Image,
    contents: Contents,
    model: TrainedModel,
    options: FineTuneOptions,
) -> TrainingPair:
    stored = item.mark.get("options")
    stored_options: Mapping[str, Any] = stored if isinstance(stored, Mapping) else {}
    labels_model = next(
        (
            candidate
            for candidate in contents.models
            if candidate.name == stored_options.get("model")
        ),
        model,
    )
    background = stored_options.get("background", 0)
    return make_corrected_pair(
        image,
        item.labels,
        item.ink,  # type: ignore[arg-type]  # the caller has checked it
        model,
        labels_are=kind_of_role(str(item.mark.get("role", "")), labels_model),
        background=background if isinstance(background, int) else 0,
        ink_weight=options.ink,
        unreviewed=options.unreviewed,
    )


__all__ = ["ProjectTrainingPairs", "collect_training_pairs"]
