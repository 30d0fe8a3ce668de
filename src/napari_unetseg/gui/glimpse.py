"""A look at the field while a network learns: its classes on the plane on screen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari_unetseg.core.image import Image
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.predict import matched, predict_classes_image
from napari_unetseg.gui.task import Reporter


@dataclass(frozen=True)
class Glimpse:
    """Classes of the visible plane, predicted by a model still in training."""

    classes: Any


def glimpser(
    field: Image | None,
    report: Reporter,
    scaling: NormalisationSpec = NormalisationSpec(),  # noqa: B008 - frozen
) -> Callable[[Any], None]:
    """Return what hands a glimpse of a plane to the window, told a model so far."""

    def glimpse(segmenter: Any) -> None:
        if field is not None and segmenter.ndim == 2:
            given = matched(field, segmenter)
            known = fit_normalisation(given, scaling)
            classes = predict_classes_image(given, segmenter, known)
            report.show(Glimpse(classes.asarray()))

    return glimpse


__all__ = ["Glimpse", "glimpser"]
