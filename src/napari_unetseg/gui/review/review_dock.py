"""The Review dock: two Labels layers compared object by object."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.colormaps import CyclicLabelColormap
from napari.utils.colormaps.standardize_color import transform_color
from napari.utils.events import Event, disconnect_events
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QPushButton

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.label_image import comparable, has_below_zero
from napari_unetseg.core.measure import size_difference
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.progress import Progress, part
from napari_unetseg.core.scoring.review_objects import (
    HIT,
    INVENTED,
    KINDS,
    MISSED,
    Counted,
    Review,
    count_objects,
    paint_review,
    review_objects,
)
from napari_unetseg.core.scoring.score_summary import frame_axes_of
from napari_unetseg.gui.review.review_table import COLOURS, ReviewTable
from napari_unetseg.gui.shared.layer_choice import LayerChoice
from napari_unetseg.gui.shared.layers import (
    REVIEW,
    find_layer,
    has_planes,
    image_of,
    is_input,
    is_truth,
    mark_again,
    marked,
    new_labels,
    role_of,
)
from napari_unetseg.gui.shared.navigate import go_to
from napari_unetseg.gui.shared.outlines_box import OutlinesBox
from napari_unetseg.gui.shared.task import Latest, Reporter, Work
from napari_unetseg.gui.shared.tool import Tool

"""Role of the layer that shows matched, missed and false-positive objects."""

NEXT_KEY = "N"

_CLEAR = (0.0, 0.0, 0.0, 0.0)
_STALE = "The labels were changed since: compare again."


class ReviewOptions(Options):
    """Options for matching objects."""

    threshold: float = option(
        0.5,
        "IoU of a match",
        "Minimum intersection over union of matching objects. 0.5 is usual; raise it to judge "
        "outlines as well.",
        ge=0.05,
        le=1.0,
        slider=True,
    )
    per: Literal["stack", "plane"] = option(
        "stack",
        "Objects per",
        "Stack: objects continue along Z. Plane: every plane was labelled separately, so an id is "
        "a different object in each.",
    )


@dataclass(frozen=True, eq=False)
class _Found:
    """A review, its picture, the two layers, whether they have pixels below 0, and how their
    pixel sizes differ.
    """

    prediction: Layer
    truth: Layer
    counted: Counted
    review: Review
    picture: NDArray[np.uint8]
    options: ReviewOptions
    below_zero: bool
    sizes: str = ""


class ReviewWidget(Tool[ReviewOptions]):
    """Compare two Labels layers, and navigate from one mistake to the next.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Review"
    help_text = "Compare two Labels layers object by object, and go to the worst mistakes."
    run_text = "Compare"
    run_help = "Match the objects of both layers and list them, worst first."
    pick_text = "Prediction"
    runs_on_labels = True
    nothing_text = "Open or make two Labels layers: a prediction, and the truth."

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(napari_viewer, ReviewOptions())
        self._found: _Found | None = None
        self._watched: tuple[Layer, ...] = ()
        self._edited: set[Layer] = set()
        self._bound = False
        self._rematch = Latest(self)
        self._rematch.answered.connect(self._on_rematched)
        self._rematch.refused.connect(self.say_error)
        # A run that is just ending blocks the next one.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.run)
        self.viewer.layers.events.removed.connect(self._on_removed)
        self.truth = LayerChoice(
            self.viewer,
            lambda layer: self.accepts(layer) or (isinstance(layer, Labels) and is_truth(layer)),
            follow=self._is_other,
            images=True,
        )
        self.truth.setObjectName("truth")
        self.truth.picked.connect(self._on_truth)
        self.pick.avoid(self.truth)
        self.legend = QLabel(_legend())
        self.legend.setToolTip("Colours of the layer and of the table.")
        self.table = ReviewTable()
        self.table.chosen.connect(self._go)
        self.outlines = OutlinesBox(self._shown_layers)
        self.next_button = QPushButton(f"Next worst ({NEXT_KEY})")
        self.next_button.setToolTip(
            f"Go to the next row of the table. With the mouse over the canvas the key {NEXT_KEY} "
            "does the same."
        )
        self.next_button.clicked.connect(lambda: self.next_worst())
        self.assemble(
            rows=[("Truth", self.truth)],
            results=[self.outlines, self.legend, self.table, self.next_button],
        )

    # Definition of the tool

    @classmethod
    def accepts(cls, layer: Layer) -> bool:
        return isinstance(layer, Labels) and is_input(layer)

    def whole_axes(self) -> str:
        return "ZYX" if self.form.options.per == "stack" else "YX"

    def work(self, layer: Layer, options: ReviewOptions) -> Work:
        truth = self.truth.layer()
        if truth is None or truth is layer:
            raise InputError("Choose two different Labels layers to compare.")
        predicted, true = image_of(layer), image_of(truth)
        _check_same(layer, predicted, truth, true)
        frame_axes = frame_axes_of(true, options.per)
        self._watch(layer, truth, *self._layers())
        self._edited -= {layer, truth}
        return lambda progress: _compare(
            layer, truth, predicted, true, frame_axes, options, progress
        )

    def show_result(self, layer: Layer, options: ReviewOptions, result: _Found) -> str:
        truth = result.truth
        if truth not in self.viewer.layers or image_of(truth).shape != result.picture.shape:
            return (
                "The truth was removed or got another shape during the run, so the result was "
                "dropped. Choose two layers and compare again."
            )
        self._found = result
        self._watch(*self._layers())
        self._show(result)
        if result.options != self.form.options:
            self._match_again(self.form.options)
        return self._summary(result)

    def layer_changed(self, layer: Layer | None) -> None:
        if layer is not None:
            self.form.show_only({"per": has_planes(layer)})
        if layer is not None and self.truth.layer() is layer:
            # The prediction was chosen last, so the truth changes.
            for other in self.viewer.layers:
                if self.accepts(other) and other is not layer:
                    self.truth.pick(other)
        super().layer_changed(layer)
        self.outlines.read()
        self.refresh()

    def options_changed(self, options: ReviewOptions) -> None:
        if self._found is not None and not self.running:
            self._match_again(options)

    def refresh(self) -> None:
        super().refresh()
        ready = self.truth.layer() is not self.pick.layer()
        self.run_button.setEnabled(self.run_button.isEnabled() and ready)
        self.next_button.setEnabled(self._found is not None and len(self._found.review) > 0)
        if not self.running and self._found is None and not ready:
            self.say(self.nothing_text)

    def shown(self) -> None:
        """Bind the key, unless it is bound already."""
        self.outlines.read()
        self._show_reviews(visible=True)
        if not self._bound and NEXT_KEY not in {str(key) for key in self.viewer.keymap}:
            self.viewer.bind_key(NEXT_KEY, self._on_key)
            self._bound = True

    def hidden(self) -> None:
        if self._bound:
            self.viewer.bind_key(NEXT_KEY, None)
            self._bound = False
        self._show_reviews(visible=False)
        super().hidden()

    def _show_reviews(self, *, visible: bool) -> None:
        """Show the review layers while the page is visible, and hide them with it."""
        for layer in self.viewer.layers:
            if role_of(layer) == REVIEW:
                layer.visible = visible

    def close_tool(self) -> None:
        if not self._closed:
            self._soon.stop()
            self._rematch.forget()
            self._forget()
            self.truth.close_events()
            disconnect_events(self.viewer.layers.events, self)
        super().close_tool()

    # Actions

    @property
    def found(self) -> Review | None:
        """The review of the last run."""
        return None if self._found is None else self._found.review

    def next_worst(self) -> None:
        """Go to the next row of the table."""
        if self._found is not None and not self.table.step():
            self.say("That was the last object. Fix them in Correct, then compare again.")

    # Wiring

    def _match_again(self, options: ReviewOptions) -> None:
        """Match the counted objects by other options; count again if needed."""
        found = self._found
        if found is None:
            return
        if options.per != found.options.per:
            self._soon.start()
            return
        images = [image_of(layer) for layer in (found.prediction, found.truth)]
        if all(image.shape == found.picture.shape for image in images):
            self._rematch.ask(lambda progress: _matched(found, images, options, progress))

    def _is_other(self, layer: Layer) -> bool:
        return layer is not self.pick.layer()

    def _on_truth(self, layer: Layer | None) -> None:
        if layer is not None and layer is self.pick.layer():
            for other in self.viewer.layers:
                if self.accepts(other) and other is not layer:
                    self.pick.pick(other)
        self.refresh()

    def _on_key(self, viewer: Any) -> None:
        self.next_worst()

    def _on_rematched(self, found: _Found) -> None:
        same = self._found is not None and found.counted is self._found.counted
        if same and not self._closed:
            self._found = found
            self._show(found)
            self.say(self._summary(found))

    def _on_edited(self, event: Event) -> None:
        self._edited.add(event.source)
        if not self.running and event.source in self._layers():
            self.say(_STALE, problem=True)

    def _on_removed(self, event: Event) -> None:
        if event.value in self._layers():
            self._rematch.forget()
            self._forget()
            self.table.show_review(None)
            self.say("One of the two layers was removed. Choose two and compare again.")
            self.refresh()

    def _layers(self) -> tuple[Layer, ...]:
        """Return the two layers of the table, if there is one."""
        found = self._found
        return () if found is None else (found.prediction, found.truth)

    def _shown_layers(self) -> list[Layer | None]:
        """Return the layers that are compared or to be, and their comparison."""
        picked = self.pick.layer()
        review = None if picked is None else find_layer(self.viewer.layers, REVIEW, picked)
        return [picked, self.truth.layer(), review]

    def _watch(self, *layers: Layer) -> None:
        """Follow changes of `layers`, and of no others."""
        for layer in self._watched:
            disconnect_events(layer.events, self)
        self._watched = tuple(dict.fromkeys(layers))
        for layer in self._watched:
            for event in (layer.events.paint, layer.events.data):
                event.connect(self._on_edited)
        self._edited &= set(layers)

    def _forget(self) -> None:
        self._found = None
        self._watch()

    def _summary(self, found: _Found) -> str:
        stale = self._edited & {found.prediction, found.truth}
        return f"{_summary(found)} {_STALE}" if stale else _summary(found)

    def _go(self, at: int) -> None:
        if self._found is not None:
            spots = self._found.review.spots
            layer = self._found.prediction
            go_to(self.viewer, layer, spots.centre[at], spots.low[at], spots.high[at])

    def _show(self, found: _Found) -> None:
        self._show_picture(found)
        self.table.show_review(found.review)
        self.refresh()

    def _show_picture(self, found: _Found) -> None:
        layers, source = self.viewer.layers, found.prediction
        old = find_layer(layers, REVIEW, source)
        fits = isinstance(old, Labels) and old.data.shape == found.picture.shape
        if old is not None and fits and self.session.may_replace(old):
            old.data = found.picture
            self.session.locks(old).remember()
            mark_again(old, marked(REVIEW, source, found.options.model_dump()))
            old.visible = True
            return
        active = layers.selection.active
        made = new_labels(
            layers,
            source,
            REVIEW,
            found.picture,
            name=f"{source.name} review",
            options=found.options.model_dump(),
            colormap=_colormap(),
            opacity=0.6,
        )
        self.session.locks(made)
        self.outlines.apply()
        layers.selection.active = active


def _compare(
    prediction: Layer,
    truth: Layer,
    predicted: Image,
    true: Image,
    frame_axes: int,
    options: ReviewOptions,
    progress: Reporter,
) -> _Found:
    """Count, match and paint; the layers are passed through unchanged."""
    ids = comparable(*(image.asarray(part(progress, 0, 0)) for image in (predicted, true)))
    counted = count_objects(*ids, frame_axes=frame_axes, progress=part(progress, 0, 0.6))
    review = review_objects(counted, options.threshold)
    picture = paint_review(counted, review, *ids, progress=part(progress, 0.6, 1))
    below = any(not one.lazy and has_below_zero(one) for one in (predicted, true))
    sizes = size_difference(predicted, true)
    return _Found(prediction, truth, counted, review, picture, options, below, sizes)


def _matched(
    found: _Found, images: list[Image], options: ReviewOptions, progress: Progress
) -> _Found:
    review = review_objects(found.counted, options.threshold)
    ids = comparable(*(image.asarray(part(progress, 0, 0)) for image in images))
    picture = paint_review(found.counted, review, *ids, progress=progress)
    return replace(found, review=review, picture=picture, options=options)


def _check_same(layer: Layer, predicted: Image, truth: Layer, true: Image) -> None:
    if predicted.shape != true.shape:
        raise InputError(
            f"{layer.name!r} has the shape {predicted.shape} and {truth.name!r} {true.shape}: they "
            "do not belong to one image. Choose two of the same size."
        )


def _summary(found: _Found) -> str:
    matching, review = found.review.matching, found.review
    at = "" if found.options.threshold == 0.5 else f" at IoU {found.options.threshold:.2f}"
    line = (
        f"F1 {matching.f1:.3f}{at}, AP50 {review.ap50:.3f}, mean IoU {matching.mean_iou:.3f}: "
        f"{matching.n_matched} matched, {matching.n_missed} missed, {matching.n_invented} false "
        "positive."
    )
    if found.below_zero:
        line += " Pixels below 0 are left out."
    if found.sizes:
        line += f" The two differ in pixel size ({found.sizes}), but are compared pixel by pixel."
    if min(matching.n_predicted, matching.n_true) == 1 < max(matching.n_predicted, matching.n_true):
        which = "prediction" if matching.n_predicted == 1 else "truth"
        line += f" Next: the {which} is a single object; if it is a mask, convert it to objects."
    elif review.ap50 < 1:
        line += " Next: click a row, or press N, to go to the worst."
    return line


def _legend() -> str:
    return " &nbsp; ".join(
        f'<span style="color: {COLOURS[kind]};">&#9632;</span> {KINDS[kind]}'
        for kind in (HIT, MISSED, INVENTED)
    )


def _colormap() -> CyclicLabelColormap:
    """Return a colormap of 0 to 3 in order; one by id takes seconds to compile."""
    colours = [transform_color(COLOURS[kind])[0] for kind in sorted(COLOURS)]
    return CyclicLabelColormap(colors=np.array([_CLEAR, *colours]), name="unetseg review")
