"""The Queue dock: review of uncertain items one by one, and an estimate of the object count."""

from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from napari.utils.notifications import show_info

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.progress import Progress
from napari_unetseg.core.review_queue import BuiltQueue, QueueOptions, Sources, make_queue
from napari_unetseg.gui.correct.correct_hand import Keys
from napari_unetseg.gui.queue.queue_panel import KEYS, QueuePanel
from napari_unetseg.gui.queue.queue_run import QueueRun
from napari_unetseg.gui.queue.queue_store import queue_of
from napari_unetseg.gui.shared.form import labelled_rows
from napari_unetseg.gui.shared.layer_choice import LayerChoice
from napari_unetseg.gui.shared.layer_provenance import maker_of
from napari_unetseg.gui.shared.layers import (
    UNCERTAINTY,
    find_layer,
    has_planes,
    image_of,
    is_input,
    options_of_layer,
    plain_shape,
    role_of,
    show_image,
    source_of_layer,
    take_hidden,
)
from napari_unetseg.gui.shared.model_choice import ModelChoice
from napari_unetseg.gui.shared.task import Work
from napari_unetseg.gui.shared.tool import Tool
from napari_unetseg.gui.shared.training_layers import PREDICTED, PREDICTED_OBJECTS

_CLASSES = (PREDICTED, "mask")
_CORRECT = "Correct"
_MAPPED = (
    "Next: accept, fix or reject each. A hidden image layer, here while this page is open, shows "
    "how unsure each pixel is."
)
_BY_LOT = (
    "Next: judge each object, and enter how many objects each window misses. Skipped items return "
    "later, because skipping hard ones would bias the count."
)
_BLIND = (
    "Items are ordered by unusual size and shape only. Choose a model and the image to find likely "
    "mistakes. Next: accept, fix or reject each."
)


@dataclass(frozen=True, eq=False)
class _Result:
    """A queue, and whether a model, other labels or the shapes were used for it."""

    built: BuiltQueue
    options: QueueOptions
    informed: bool


class QueueWidget(Tool[QueueOptions]):
    """Review objects and places one by one, in order of uncertainty or at random.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Queue"
    help_text = (
        "Accept, fix or reject uncertain labels one by one. A random sample also estimates the "
        "count."
    )
    run_text = "Make the queue"
    run_help = "Find the items to review. Corrected and approved objects are left out."
    pick_text = "Labels"
    at_sight = ("order", "labels_are", "n")
    runs_on_labels = True
    nothing_text = "There are no labels yet. Run Threshold or Predict, or open some."

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(napari_viewer, QueueOptions())
        self._review: QueueRun | None = None
        self._fixing = False
        # The hidden maps of uncertainty, while the page is hidden.
        self._maps: list[Layer] = []
        self.keys = Keys(self.viewer)
        self.image = LayerChoice(
            self.viewer,
            lambda layer: isinstance(layer, ImageLayer) and is_input(layer),
            follow=lambda layer: not role_of(layer),
        )
        self.models = ModelChoice()
        self.models.setToolTip(
            "The model whose uncertainty is used, on the image and its mirrored and turned copies."
        )
        self.other = LayerChoice(
            self.viewer, self.accepts, follow=lambda layer: False, nothing="nothing", images=True
        )
        self.other.setToolTip(
            "Labels from another model or annotator: differences are reviewed first."
        )
        self.pick.avoid(self.other)
        self.panel = QueuePanel()
        self.panel.pressed.connect(self.press)
        self.panel.missed.connect(self._on_missed)
        self.session.models_changed.connect(self._fill_models)
        self._fill_models()
        self.assemble(
            rows=[("Image", self.image), ("Model", self.models)],
            more=[("", labelled_rows(("Compare with", self.other)))],
            results=[self.panel],
        )

    # Definition of the tool

    @classmethod
    def accepts(cls, layer: Layer) -> bool:
        return isinstance(layer, Labels) and is_input(layer) and not layer.multiscale

    def whole_axes(self) -> str:
        return "ZYX" if self.form.options.per == "stack" else "YX"

    def work(self, layer: Layer, options: QueueOptions) -> Work:
        if not isinstance(layer, Labels):
            raise InputError(self.nothing_text)
        locked = self.session.locks(layer).pixels()
        return partial(_make_queue, image_of(layer), self._sources(layer), options, locked)

    def show_result(self, layer: Layer, options: QueueOptions, result: _Result) -> str:
        queue, uncertainty = result.built.queue, result.built.uncertainty
        if self._review is None or layer is not self._review.layer:
            return "Another layer was chosen meanwhile: make its queue."
        if uncertainty is not None:
            self._show_uncertainty(layer, result.options, uncertainty)
        self.form.set(order=queue.order)
        self._review.take(queue)
        if not len(queue):
            return "There is nothing to review."
        how = _BY_LOT if queue.random else _MAPPED if result.informed else _BLIND
        return f"{len(queue):,} item{'s' * (len(queue) != 1)}. {how}"

    def layer_changed(self, layer: Layer | None) -> None:
        super().layer_changed(layer)
        self.models.fit_to(layer)
        self._let_go()
        if not isinstance(layer, Labels):
            self._show()
            return
        self.form.show_only({"per": has_planes(layer)})
        self.form.set(labels_are="classes" if role_of(layer) in _CLASSES else "objects")
        self._pick_image(layer)
        self._review = QueueRun(self.viewer, self.session, layer)
        self._review.changed.connect(self._show)
        self._review.remarked.connect(self.say)
        self._review.open(self.form.options.order)
        if self.isVisible():
            self.shown()

    def options_changed(self, options: QueueOptions) -> None:
        if self._review is not None:
            queue = self._review.queue
            if queue is None or queue.order != options.order:
                self._review.open(options.order)
                if self._review.queue is not None and self.isVisible():
                    self._review.show()

    def shown(self) -> None:
        """Bind the keys, and show the current item and the maps of uncertainty."""
        self._fixing = False
        self._put_maps_back()
        if self._review is None:
            return
        self.keys.release()
        calls = {key: partial(self.press, name) for name, key in KEYS.items()}
        self.panel.show_keys(self.keys.bind(self._review.layer, calls))
        if queue_of(self._review.layer, self.form.options.order) != self._review.queue:
            # Another page made a queue meanwhile.
            self._review.open(self.form.options.order)
        self._review.look()
        if self._review.queue is not None:
            self._review.show()

    def hidden(self) -> None:
        # The keys stay bound while an item is fixed with other tools, so that Next leads back.
        if not self._fixing:
            self._release()
            self._maps += take_hidden(self.viewer.layers, UNCERTAINTY)
        super().hidden()

    def close_tool(self) -> None:
        if not self._closed:
            self._fixing = False
            self.image.close_events()
            self.other.close_events()
            self.session.models_changed.disconnect(self._fill_models)
            super().close_tool()
            self._maps.clear()
            self._let_go()

    # Actions

    @property
    def review(self) -> QueueRun | None:
        """The review run of the picked layer."""
        return self._review

    def model(self) -> TrainedModel | None:
        """Return the chosen model."""
        return self.models.chosen()

    def press(self, name: str) -> None:
        """Run the action of a button or key; see `KEYS`."""
        review = self._review
        if review is None or review.queue is None or self.running:
            return
        if name == "fix":
            self._fix(review)
            return
        self._come_back()
        self.say("")
        try:
            if name == "accept":
                review.accept(self.panel.box.value())
            elif name == "reject":
                review.reject()
            elif name == "next":
                review.next()
            else:
                review.previous()
        except InputError as error:
            self.say_error(error)

    # Wiring

    def _fix(self, review: QueueRun) -> None:
        review.show()
        self._fixing = True
        show_info(f"Press {self._next_key()} when you have fixed it.")
        if len(self.session.page_wanted):
            self.session.page_wanted.emit(_CORRECT)
        elif hasattr(self.viewer, "window"):
            self.viewer.window.add_plugin_dock_widget("napari-unetseg", _CORRECT)

    def _next_key(self) -> str:
        return KEYS["next"] if self.panel.keys.text() else "Next in the Queue dock"

    def _come_back(self) -> None:
        """Return to this page after an item was fixed on another."""
        if self._fixing and not self.isVisible():
            self.session.page_wanted.emit(self.title)
        self._fixing = False

    def _on_missed(self, missed: int) -> None:
        if self._review is not None:
            self._review.set_missed(missed)

    def _show(self) -> None:
        self.panel.show_queue(None if self._review is None else self._review.queue)

    def _release(self) -> None:
        self.keys.release()
        self.panel.show_keys(())
        if self._review is not None:
            self._review.hide()

    def _let_go(self) -> None:
        self._release()
        if self._review is not None:
            self._review.close()
            self._review.deleteLater()
            self._review = None

    def _sources(self, layer: Labels) -> Sources:
        image, other, model = self.image.layer(), self.other.layer(), self.model()
        return Sources(
            None if image is None else image_of(image),
            None if model is None else _at_its_size(model, layer),
            _decoding(layer),
            None if other in (None, layer) else image_of(other).data,
        )

    def _pick_image(self, layer: Labels) -> None:
        """Pick the image that the labels were made from, or the first of their size."""
        images = [one for one in self.viewer.layers if isinstance(one, ImageLayer)]
        made_of = [one for one in images if str(one.unique_id) == source_of_layer(layer)]
        alike = [
            one for one in images if not role_of(one) and plain_shape(one) == plain_shape(layer)
        ]
        for image in (made_of or alike)[:1]:
            self.image.pick(image)

    def _show_uncertainty(self, layer: Labels, options: QueueOptions, data: Any) -> None:
        layers = self.viewer.layers
        new = find_layer(layers, UNCERTAINTY, layer) is None
        map_layer = show_image(
            layers,
            layer,
            UNCERTAINTY,
            data,
            name=f"{layer.name} uncertainty",
            options=options.model_dump(),
            colormap="inferno",
            contrast_limits=(0, 1),
            blending="additive",
            opacity=0.5,
            visible=False,
        )
        map_layer.contrast_limits = (0, 1)
        if new:
            # Below the labels, above the image.
            layers.move(layers.index(map_layer), layers.index(layer))

    def _put_maps_back(self) -> None:
        """Put the maps of uncertainty below their labels again, if these are still there."""
        layers, maps = self.viewer.layers, self._maps
        active, self._maps = layers.selection.active, []
        for source in list(layers):
            own = [one for one in maps if source_of_layer(one) == str(source.unique_id)]
            if own and find_layer(layers, UNCERTAINTY, source) is None:
                layers.insert(layers.index(source), own[-1])
        layers.selection.active = active

    def _fill_models(self) -> None:
        wanted = self.session.next_choice(self.models.currentData())
        self.models.fill(self.session.models, after="none")
        self.models.choose(wanted)


def _make_queue(
    labels: Image,
    sources: Sources,
    options: QueueOptions,
    locked: PixelSet,
    progress: Progress,
) -> _Result:
    """Make a queue from copies, since a computation must not see later strokes."""
    if not labels.lazy:
        labels = labels.with_data(np.array(labels.data))
    if sources.other is not None:
        sources = replace(sources, other=np.array(sources.other))
    built = make_queue(labels, sources, options, locked=locked, progress=progress)
    # The frame of an item needs them: importing them in the window's thread would stop the window.
    measure = import_module("skimage.measure")
    _ = measure.find_contours, measure.approximate_polygon
    modelled = sources.model is not None and sources.image is not None
    informed = options.by == "shape" or modelled or sources.other is not None
    return _Result(built, options, informed)


def _at_its_size(model: TrainedModel, layer: Labels) -> TrainedModel:
    """Return the model with the image scale that was used to make the labels."""
    known = options_of_layer(layer)
    zoom = known.get("zoom") if maker_of(layer, [model]) is not None else None
    fits = isinstance(zoom, list | tuple) and len(zoom) == model.ndim
    return model.zoomed(zoom) if fits and zoom else model


def _decoding(layer: Labels) -> DecodeOptions | None:
    """Return the decoding options stored in a layer, if a model made it."""
    options = options_of_layer(layer) if role_of(layer) == PREDICTED_OBJECTS else {}
    known = {name: options[name] for name in DecodeOptions.model_fields if name in options}
    return DecodeOptions.checked(**known) if known else None


__all__ = ["QueueWidget"]
