"""The Threshold dock: a histogram with draggable thresholds, and labels on Run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from napari.layers import Layer
from napari.utils.events import disconnect_events
from qtpy.QtWidgets import QCheckBox

from napari_unetseg.core.image import Image
from napari_unetseg.core.objects.lineage import Lineage, lineage_of
from napari_unetseg.core.objects.linking import link_choices, link_fields
from napari_unetseg.core.progress import Progress
from napari_unetseg.core.threshold import (
    LOCAL_METHODS,
    Thresholded,
    ThresholdOptions,
    linked_in_words,
    threshold,
)
from napari_unetseg.core.threshold.histogram import Histogram
from napari_unetseg.core.threshold.levels import Side, guess_objects
from napari_unetseg.gui.shared.data_versions import data_version
from napari_unetseg.gui.shared.layers import (
    IMAGE_CHANNEL,
    MASK,
    OBJECTS,
    channel_on_screen,
    image_of,
    index_along,
    long_axes,
    steps_before,
)
from napari_unetseg.gui.shared.navigate import camera_of, in_view
from napari_unetseg.gui.shared.preview import classes_look, objects_look, threshold_look
from napari_unetseg.gui.shared.preview_tool import PreviewTool
from napari_unetseg.gui.shared.task import Work
from napari_unetseg.gui.threshold.threshold_preview import (
    TOO_LARGE,
    ZOOM_IN,
    LevelPreview,
    OutcomePreview,
    depends_on_view,
    has_outcome,
    level_preview,
    outcome_preview,
)


@dataclass(frozen=True, eq=False)
class _Result:
    """Labels, and their inputs.

    Parameters
    ----------
    dragged
        Levels that the user dragged, or an empty tuple.
    before
        Steps that made the image; see `steps_before`.
    channel
        The channel of several, by name or number, or ``""``.
    lineage
        Of objects that are linked over time.
    """

    found: Thresholded
    options: ThresholdOptions
    dragged: tuple[float, ...]
    before: Mapping[str, Any]
    channel: str
    lineage: Lineage | None = None


class ThresholdWidget(PreviewTool[ThresholdOptions]):
    """Convert grey levels to classes or objects.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Threshold"
    help_text = "Separate objects from background by a grey level. Drag the line, then press Run."
    run_text = "Run"
    at_sight = ("method", "classes", "window", "objects", "min_size", "split", "result", "per")
    channels_text = "the channel on screen alone"
    run_help = "Threshold the whole image and show the result in a Labels layer."

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        from napari_unetseg.gui.threshold.histogram_plot import HistogramPlot

        super().__init__(napari_viewer, ThresholdOptions())
        self._previewed: LevelPreview | None = None
        self._outcome: OutcomePreview | None = None
        self._follows_view = False
        self._dragged: tuple[float, ...] | None = None
        # Whether the objects of each layer are bright or dark, as guessed or chosen.
        self._sides: WeakKeyDictionary[Layer, Side] = WeakKeyDictionary()
        self.plot = HistogramPlot()
        self.plot.dragged.connect(self._on_dragged)
        self.live = QCheckBox("Preview")
        self.live.setChecked(True)
        self.live.setToolTip(
            "Show the result on the visible plane while you change the options: the pixels beyond "
            "the level at once, then what is left after filling, cleaning and splitting."
        )
        self.live.toggled.connect(self._show_preview)
        self.outlines = QCheckBox("Outlines")
        self.outlines.setToolTip(
            "Preview the outlines of what is found, so that the image inside them is visible."
        )
        self.outlines.toggled.connect(self._show_preview)
        self.assemble(lead=[self.plot], more=[("Preview", self.live), ("", self.outlines)])
        for event in ("zoom", "center"):
            getattr(camera_of(self.viewer).events, event).connect(self._on_view)

    def whole_axes(self) -> str:
        return "ZYX" if self.form.options.per == "stack" else "YX"

    def forgotten(self) -> frozenset[str]:
        # Grey levels of one image do not apply to another.
        drawn = self.form.options.method in ("manual", "hysteresis")
        return frozenset({"value", "high", "objects", *(["method"] if drawn else [])})

    def work(self, layer: Layer, options: ThresholdOptions) -> Work:
        image, channel = self._image(layer)
        values, before = self._dragged, steps_before(layer)

        def work(progress: Progress) -> _Result:
            found = threshold(image, options, values=values, progress=progress)
            lineage = lineage_of(found.image)
            return _Result(found, options, values or (), before, channel, lineage)

        return work

    def show_result(self, layer: Layer, options: ThresholdOptions, result: _Result) -> str:
        found, role = result.found, OBJECTS if result.options.result == "objects" else MASK
        known = {
            **result.options.model_dump(),
            "values": [list(values) for values in found.values],
            "dragged": list(result.dragged),
            **({IMAGE_CHANNEL: result.channel} if result.channel else {}),
        }
        made, remark = self.session.show_labels(
            self.viewer.layers,
            layer,
            role,
            found.labels,
            name=f"{layer.name} {role}, threshold",
            options=known,
            before=result.before,
            objects=role == OBJECTS,
            lineage=result.lineage,
        )
        self.end_preview()
        made.visible = True
        return " ".join(filter(None, (_summary(result, role), remark)))

    def layer_changed(self, layer: Layer | None) -> None:
        self._dragged = self._previewed = self._outcome = None
        if layer is None:
            self.plot.clear_histogram()
        else:
            several = bool(self._image(layer)[0].grey().loop_shape())
            self.form.show_only({"per": several, "channel": bool(layer.rgb)})
            self.form.set(objects=self._sides.get(layer, "bright"))
            self._offer_links(layer, self.form.options)
        super().layer_changed(layer)

    def options_changed(self, options: ThresholdOptions) -> None:
        self._dragged = None
        layer = self.pick.layer()
        if layer is not None:
            self._sides[layer] = options.objects
            self._offer_links(layer, options)
        super().options_changed(options)

    def look(self, layer: Layer) -> None:
        options, shown = self.form.options, self._previewed
        index = self.preview.plane(layer)
        image, channel = self._image(layer)
        at = None if index is None else index_along(layer, image.grey().axes, index)
        known = (
            shown.histogram
            if shown is not None and _same_grey(shown, layer, options, channel)
            else None
        )
        values, version = self._dragged, data_version(layer)
        self.latest.ask(
            lambda progress: level_preview(
                layer, layer.ndim, image, at, options, channel, version, known, values, progress
            )
        )

    def looked(self, answer: LevelPreview | OutcomePreview) -> None:
        if answer.layer != self.pick.layer() or answer.layer not in self.viewer.layers:
            return
        if isinstance(answer, OutcomePreview):
            self._show_outcome(answer)
            return
        if answer.options != self.form.options or answer.dragged != self._dragged:
            self.look_later()  # changed meanwhile
            return
        if self._previewed is None or self._previewed.histogram is not answer.histogram:
            self.plot.show_histogram(answer.histogram.counts, answer.histogram.edges)
        self._previewed = answer = self._with_side(answer)
        self.plot.show_values(answer.values)
        if answer.values:
            self.form.set_range("value", *_span(answer.histogram))
        self.unsay()
        self._show_preview()

    def end_preview(self) -> None:
        self._outcome = None
        super().end_preview()

    def close_tool(self) -> None:
        if not self._closed:
            disconnect_events(camera_of(self.viewer).events, self)
        super().close_tool()

    def _with_side(self, answer: LevelPreview) -> LevelPreview:
        """Return the answer for bright or dark objects: guessed when a layer is first seen."""
        if answer.layer not in self._sides and self.form.options.objects == "bright":
            self.form.set(objects=guess_objects(answer.histogram))
        self._sides[answer.layer] = side = self.form.options.objects
        return replace(answer, options=answer.options.model_copy(update={"objects": side}))

    def _image(self, layer: Layer) -> tuple[Image, str]:
        """Return the image of a layer with one channel, and which of several that is."""
        return channel_on_screen(layer, image_of(layer), self.preview.plane(layer))

    def _offer_links(self, layer: Layer, options: ThresholdOptions) -> None:
        """Show the link options if objects end with their plane or stack."""
        whole = "ZYX" if options.per == "stack" else "YX"
        choices = link_choices(long_axes(self._image(layer)[0]), whole)
        self.form.offer("link", choices)
        self.form.show_only(link_fields(choices, options))

    def _on_dragged(self, values: tuple[float, ...]) -> None:
        options = self.form.options
        if len(values) == 1:
            self.form.set(method="manual", value=values[0])
            self._dragged = None
        elif options.method == "hysteresis":
            self.form.set(value=values[0], high=values[1])
            self._dragged = None
        else:
            self._dragged = values
        if self._previewed is not None:
            self._outcome = None
            self._paint(self._previewed, values, self.form.options)
        self.look_later()

    def _on_view(self) -> None:
        if self._follows_view and self._outcome is not None:
            self.look_later()

    def _show_preview(self, checked: object = None) -> None:
        """Show the levels, and then the outcome if it differs; an earlier one stays until then."""
        shown, layer = self._previewed, self.pick.layer()
        if shown is None or layer is None or not self.live.isChecked() or not self.isVisible():
            self._outcome = None
            self.preview.remove()
            return
        index, outlines = self.preview.plane(layer), self.outlines.isChecked()
        image = self._image(layer)[0]
        at = None if index is None else index_along(layer, image.grey().axes, index)
        if at is None or not has_outcome(shown.options, outlines=outlines):
            self._outcome, self._follows_view = None, False
            self._remark("")
        elif self._outcome is not None and self._outcome.index != at:
            self._outcome = None
        if self._outcome is None:
            self._paint(shown, self._dragged or shown.values, shown.options)
        if at is not None and has_outcome(shown.options, outlines=outlines):
            self._follows_view = depends_on_view(image, shown.options)
            field = in_view(layer)
            self.latest.ask(
                lambda progress: outcome_preview(
                    shown, image, at, field, outlines=outlines, progress=progress
                )
            )

    def _show_outcome(self, answer: OutcomePreview) -> None:
        shown = self._previewed
        if shown is None or answer.options != shown.options or not self.live.isChecked():
            return
        self._remark(answer.remark)
        if answer.picture is None:
            self._outcome = None
            self._paint(shown, self._dragged or shown.values, shown.options)
            return
        self._outcome = answer
        look = classes_look(answer.n_classes) if answer.n_classes else objects_look()
        if self.outlines.isChecked():
            look["opacity"] = 1.0
        self.preview.show(answer.layer, answer.picture, name="threshold preview", **look)

    def _remark(self, remark: str) -> None:
        """Show how far the preview goes, or clear such a remark."""
        if remark or self.message.text() in (TOO_LARGE, ZOOM_IN):
            self.say(remark)

    def _paint(
        self, shown: LevelPreview, values: tuple[float, ...], options: ThresholdOptions
    ) -> None:
        layer = self.pick.layer()
        if not self.live.isChecked() or layer is None or layer != shown.layer:
            return
        data = shown.layer.data if shown.plane is None else shown.plane
        low, high = _span(shown.histogram)
        if shown.options.method in LOCAL_METHODS:
            values, low, high, dark = (0.5,), 0.0, 1.0, False
        else:
            dark = options.objects == "dark"
        look = threshold_look(values, low, high, dark=dark)
        self.preview.show(layer, data, name="threshold preview", **look)


def _same_grey(shown: LevelPreview, layer: Layer, options: ThresholdOptions, channel: str) -> bool:
    same = shown.channel == channel and shown.options.channel == options.channel
    return shown.layer == layer and shown.version == data_version(layer) and same


def _span(histogram: Histogram) -> tuple[float, float]:
    return float(histogram.edges[0]), float(histogram.edges[-1])


def _summary(run: _Result, role: str) -> str:
    result = run.found
    levels = sorted({value for values in result.values for value in values})
    if not levels:
        at = "with a local threshold"
    elif len(levels) > 4:
        at = f"at levels from {levels[0]:.4g} to {levels[-1]:.4g}"
    else:
        at = f"at level{'s' * (len(levels) != 1)} " + ", ".join(f"{n:.4g}" for n in levels)
    if role == OBJECTS:
        linked = linked_in_words(result.image, run.options)
        many = f"object{'s' * (result.n_objects != 1)}"
        return f"{result.n_objects} {many} {at}{linked}. Next: Correct, then Measure."
    return (
        f"Thresholded {at}. Next: fix mistakes with napari's brush and eraser, then Train. To "
        "correct, count or measure objects, choose Result: objects and run again."
    )
