"""What a saved project has to train a model on from: corrected labels, and what came before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.project.project_contents import Contents, LabelsItem
from napari_unetseg.core.training.corrected_labels import corrected_lesson, kind_of_role
from napari_unetseg.core.training.fine_tune import FineTuneOptions
from napari_unetseg.core.training.model_history import History, Learnt


@dataclass(frozen=True, eq=False)
class ProjectLessons:
    """What a project teaches: lessons, and the names of the corrected layers and of those lost."""

    corrected: tuple[TrainingPair, ...]
    earlier: tuple[TrainingPair, ...]
    names: tuple[str, ...]
    lost: tuple[str, ...]
    base: TrainedModel | None


def lessons_of_project(
    contents: Contents, model: TrainedModel, options: FineTuneOptions
) -> ProjectLessons:
    """Collect every layer with ink that was made from an image, and what a model learnt before.

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
    places = {one.labels_key: one.image_key for one in before}
    corrected, names = [], []
    for item in contents.labels:
        image = images.get(str(item.mark.get("source") or places.get(item.key, "")))
        if item.ink and image is not None and _is_corrected(item, before):
            corrected.append(_lesson(item, image, contents, model, options))
            names.append(item.name)
    if not corrected:
        raise InputError(
            "No labels in this project were corrected. Paint, erase or approve something on what "
            "a model predicted, then train on."
        )
    earlier, lost = [], []
    for one in before:
        there, place = labels.get(one.labels_key), images.get(one.image_key)
        if there is not None and there.name in names:
            continue
        if there is None or place is None or one.region_key or one.labels_are != model.labels_are:
            lost.append(one.labels)
            continue
        earlier.append(TrainingPair(place, there.labels))
    base = history.base_of(model)
    return ProjectLessons(tuple(corrected), tuple(earlier), tuple(names), tuple(lost), base)


def _is_corrected(item: LabelsItem, before: list[Learnt]) -> bool:
    """Whether ink on a layer corrects it; what was painted to be learnt whole is no correction."""
    return not any(one.labels_key == item.key and not one.ink for one in before)


def _lesson(
    item: LabelsItem,
    image: Image,
    contents: Contents,
    model: TrainedModel,
    options: FineTuneOptions,
) -> TrainingPair:
    told = item.mark.get("options")
    said: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    maker = next((one for one in contents.models if one.name == said.get("model")), model)
    background = said.get("background", 0)
    return corrected_lesson(
        image,
        item.labels,
        item.ink,  # type: ignore[arg-type]  # asked before
        model,
        labels_are=kind_of_role(str(item.mark.get("role", "")), maker),
        background=background if isinstance(background, int) else 0,
        ink_weight=options.ink,
        unreviewed=options.unreviewed,
    )


__all__ = ["ProjectLessons", "lessons_of_project"]
