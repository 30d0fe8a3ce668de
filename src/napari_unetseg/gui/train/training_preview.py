"""Preview during training: predicted classes on the visible plane."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari.layers import Labels

from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import matched, predict_classes_image
from napari_unetseg.core.model.validation_score import is_shown
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.gui.shared.preview import classes_look, labels_look
from napari_unetseg.gui.shared.task import Reporter
from napari_unetseg.gui.shared.tool import Tool
from napari_unetseg.gui.train.loss_curve import LossPlot


@dataclass(frozen=True)
class TrainingPreview:
    """The classes of the visible plane, predicted by a model during training."""

    classes: Any


def preview_callback(
    field: Image | None,
    report: Reporter,
    scaling: NormalisationSpec = NormalisationSpec(),  # noqa: B008 - frozen
) -> Callable[[Any], None]:
    """Make a callback that previews the model on the visible plane during training."""

    def preview(segmenter: Any) -> None:
        if field is not None and segmenter.ndim == 2:
            adapted = matched(field, segmenter)
            normalisation = fit_normalisation(adapted, scaling)
            classes = predict_classes_image(adapted, segmenter, normalisation)
            report.show(TrainingPreview(classes.asarray()))

    return preview


def show_training(
    tool: Tool[Any], curve: LossPlot, thing: Any, *, painted: Labels | None = None
) -> None:
    """Show an intermediate result of training: a preview, or a `TrainingStep` in the curve.

    Parameters
    ----------
    painted
        The labels whose colours the classes have; those of every preview when missing.
    """
    if not isinstance(thing, TrainingPreview):
        shown = is_shown(thing.held_out_least, thing.held_out_strokes)
        curve.add(thing.seconds, thing.loss, thing.dice if shown else None)
        return
    layer = tool.source
    if layer is not None and layer in tool.viewer.layers and tool.isVisible():
        n = int(thing.classes.max())
        look = classes_look(n) if painted is None else labels_look(painted, n)
        tool.preview.show(layer, thing.classes, name="training preview", **look)


__all__ = ["TrainingPreview", "preview_callback", "show_training"]
