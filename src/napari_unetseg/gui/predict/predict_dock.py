"""The Predict dock: run a trained model on the active layer."""

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.events import disconnect_events
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.object_size import mismatch, zoom_in_words
from napari_unetseg.core.inference.predict_options import PredictOptions, settle_what
from napari_unetseg.core.inference.prediction import prepare_prediction, run_prediction
from napari_unetseg.core.model import shipped_models as shipped
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.objects.decode import DecodeOptions, decode
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.objects.linking import LINK_FIELDS, links_along
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.progress import Progress
from napari_unetseg.gui.predict.cached_maps import FoundObjects, Maps, can_be_kept
from napari_unetseg.gui.predict.large_layers import Written, is_larger_than_memory
from napari_unetseg.gui.shared.form import Form
from napari_unetseg.gui.shared.layers import (
    PROBABILITIES,
    find_layer,
    image_of,
    plane_image,
    show_image,
)
from napari_unetseg.gui.shared.model_choice import ModelChoice
from napari_unetseg.gui.shared.model_opener import FILES, Opener
from napari_unetseg.gui.shared.preview import classes_look, object_colours, objects_look
from napari_unetseg.gui.shared.task import Latest, Work
from napari_unetseg.gui.shared.tool import Tool
from napari_unetseg.gui.shared.training_layers import PREDICTED, PREDICTED_OBJECTS

if TYPE_CHECKING:
    from napari_unetseg.gui.predict.predict_to_file import Slide

_PASSING = "This is a passing look at the plane on screen. Predict everything to keep it."
_NEXT = "Next: Measure; or Correct them first, then Train on."
_TRY_OTHERS = f"{_NEXT} Where they are split wrongly, change that and see it at once."
_SPECK = 0.1
"""Share of the median size under which an object is called a speck."""

_COUNTED_AT_ONCE = 8_000_000
_FILES = "Model packages (*.zip)"


_WHAT = PredictOptions.model_fields["what"]


class _ExtentOptions(Options):
    extent: Literal["everything", "visible plane"] = option(
        "everything",
        "On",
        "Every plane into a layer, or only a passing look at the plane on screen.",
    )


class PredictDockOptions(PredictOptions, _ExtentOptions):
    """Options of a prediction, and the extent that they hold for."""

    what: Literal["auto", "objects", "classes", "probabilities", "both"] = option(  # type: ignore[assignment]  # wider
        _WHAT.default,
        str(_WHAT.title),
        f"{_WHAT.description} Both: classes and probabilities.",
        when={"extent": ("everything",)},
    )


class PredictWidget(Tool[PredictDockOptions]):
    """Run a trained model.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Predict"
    help_text = "Run a trained model on the image. The result is a Labels layer to correct."
    run_text = "Predict"
    run_help = "Run the model. Labels that you have corrected are kept."
    can_stop = True
    stop_help = "End now and keep what is predicted so far; elsewhere nothing changes."

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        self._maps: Maps | None = None
        self._hidden: Layer | None = None
        super().__init__(napari_viewer, PredictDockOptions())
        self._looks = Latest(self)
        self._looks.answered.connect(self._on_look)
        self._looks.refused.connect(self._on_refused)
        self.viewer.dims.events.current_step.connect(self._look)
        self.viewer.dims.events.ndisplay.connect(self._look)
        self._opener = Opener(self)
        self._opener.opened.connect(self._on_opened)
        self._opener.refused.connect(self._on_refused)
        self._warm = Latest(self)
        self._files = Latest(self)
        self._files.answered.connect(self._on_file)
        self._files.refused.connect(self._on_refused)
        self.session.models_changed.connect(self._fill_models)
        self._fill_models()

    def rows(self) -> list[tuple[str, QWidget]]:
        self.models = ModelChoice()
        self.models.currentIndexChanged.connect(self._on_model)
        return [("Model", self.models)]

    def extras(self) -> list[QWidget]:
        self.decoding = Form(DecodeOptions())
        self.decoding.changed.connect(self._on_decoding)
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        self.load_button = QPushButton("Load model...")
        self.load_button.setToolTip(
            "Open a model's file: one saved here, a bioimage.io package, ONNX, TorchScript, or the "
            "state dict of a usual UNet."
        )
        self.load_button.clicked.connect(lambda: self._ask_load())
        self.save_button = QPushButton("Save model...")
        self.save_button.setToolTip("Write the chosen model to a bioimage.io package (.zip).")
        self.save_button.clicked.connect(lambda: self._ask_save())
        line.addWidget(self.load_button)
        line.addWidget(self.save_button)
        return [self.decoding.page, row]

    def forms(self) -> dict[str, Form[Any]]:
        return {**super().forms(), "splitting": self.decoding}

    def forgotten(self) -> frozenset[str]:
        return frozenset({"extent", "diameter", "split_depth"})

    def model(self) -> TrainedModel | None:
        """Return the chosen model."""
        return self.models.chosen()

    def load_model(self, path: Path) -> None:
        """Open a model, ours or foreign, in another thread and offer it."""
        self.say(f"Reading {path.name}...")
        self._opener.open(path)

    def save_model(self, path: Path) -> None:
        """Write the chosen model to a package in another thread."""
        model = self.model()
        if model is not None:
            self.say(f"Writing {path.name}...")
            self._files.ask(lambda progress: _saved(model, path))

    def work(self, layer: Layer, options: PredictDockOptions) -> Work:
        model = self.model()
        if model is None:
            raise InputError(
                "There is no model yet. Train one (Train), or load one (Load model...)."
            )
        whole = image = image_of(layer)
        options = _scaled(options, model, image)
        index = None
        if options.extent == "visible plane":
            index = self.preview.plane(layer)
            if index is None:
                raise InputError(
                    "The plane on screen is not one of the image's last two axes. Turn the view "
                    "back to 2D, or predict everything."
                )
            image = plane_image(image, index)
        if options.extent == "everything" and is_larger_than_memory(image):
            return self._large(layer, image, model, options)
        if not _wants_objects(options, model):
            before = self._before(layer) if options.extent == "everything" else None
            return lambda progress: predicted(model, image, options, before, progress)
        decoding = self.decoding.options
        kept = self._maps
        if kept is not None and kept.index == index and kept.hold(layer, model, options, index):
            return lambda progress: _decoded(kept, decoding, progress)
        self._maps = None
        axes, data = whole.grey().axes, layer.data

        prepared = prepare_prediction(model, image, options, decoding)

        def work(progress: Progress) -> FoundObjects:
            keeps = can_be_kept(model, image)
            made = run_prediction(prepared, keep_maps=keeps, progress=progress)
            ids = made.result.with_data(made.result.asarray())
            maps = None
            if made.maps is not None:
                maps = Maps(layer, data, model, options, index, axes, made.maps, made.zoom)
            return FoundObjects(ids, model, index, maps, made.stopped_at, made.zoom)

        return work

    def _large(
        self, layer: Layer, image: Image, model: TrainedModel, options: PredictDockOptions
    ) -> Work:
        """Return what predicts an image larger than memory, into a file that the user names."""
        if options.what == "both":
            raise InputError(
                "This image is larger than memory, and one result is written at a time. "
                "Choose classes, objects or probabilities."
            )
        path, _ = QFileDialog.getSaveFileName(
            self,
            "This image is larger than memory: where to write the result",
            f"{layer.name} {options.what}.zarr",
            "OME-Zarr (*.zarr)",
        )
        if not path:
            raise InputError("Choose where the result is to be written, and press Predict again.")
        out = Path(path).with_suffix(".zarr")
        from napari_unetseg.core.recipe.recipe_steps import ModelStep

        chosen = options.model_dump(include=set(PredictOptions.model_fields))
        step = ModelStep(
            **(chosen | options.one_size()), file=model.name or "model", sha256=model.fingerprint
        )
        return self._slide.work(layer, image, model, step, self.decoding.options, out)

    @cached_property
    def _slide(self) -> "Slide":
        """What predicts images larger than memory: loaded with the first of them."""
        from napari_unetseg.gui.predict.predict_to_file import Slide

        return Slide(self.viewer)

    def _begun_slide(self) -> "Slide | None":
        return vars(self).get("_slide")

    def show_on_the_way(self, thing: Any) -> None:
        if (slide := self._begun_slide()) is not None:
            slide.on_the_way(thing)

    def cancel(self) -> None:
        slide = self._begun_slide()
        going = self.running and slide is not None and slide.on
        super().cancel()
        if going:
            self.say("Cancelled. Predict into the same file goes on with what is missing.")

    def _on_finished(self) -> None:
        super()._on_finished()
        if (slide := self._begun_slide()) is not None:
            slide.end()

    def show_result(self, layer: Layer, options: PredictDockOptions, result: Any) -> str:
        if isinstance(result, Written):
            return self._show_written(layer, options, result)
        model = self.model()
        if model is not None:
            options = _scaled(options, model, image_of(layer))
        if isinstance(result, FoundObjects):
            return self._show_objects(layer, options, result)
        self._keep(model)
        said = {**options.model_dump(), "zoom": list(result["zoom"]), **_named(model)}
        if options.extent == "visible plane":
            classes = result["classes"].asarray()
            look = classes_look(int(classes.max()))
            self.preview.show(layer, classes, name="prediction preview", **look)
            return f"{_scaled_in_words(result['zoom'])}{_PASSING}"
        self.preview.remove()
        remarks = []
        if result["stopped at"] is not None:
            remarks.append(_stopped(result["stopped at"]))
        if "probabilities" in result:
            self._show_probabilities(layer, said, result["probabilities"])
            remarks.append("Probabilities are in Image layers, one a class.")
        if "classes" in result:
            labels = result["classes"].asarray()
            made, remark = self.session.show_labels(
                self.viewer.layers,
                layer,
                PREDICTED,
                labels,
                name=f"{layer.name} classes",
                options=said,
            )
            made.visible = True
            remarks += [_shares(labels, model), _scaled_in_words(result["zoom"]), remark]
        return " ".join(filter(None, remarks))

    def _show_written(self, layer: Layer, options: PredictDockOptions, written: Written) -> str:
        """Show what was written of an image larger than memory."""
        model = self.model()
        self._keep(model)
        roles = {"objects": PREDICTED_OBJECTS, "classes": PREDICTED}
        role = roles.get(written.what, PROBABILITIES)
        self._slide.show(layer, role, written, {**options.model_dump(), **_named(model)})
        n = "" if written.n_objects is None else f"{written.n_objects:,} objects. "
        return f"{n}Written to {written.path}, and shown from there. Next: Measure."

    def _keep(self, model: TrainedModel | None) -> None:
        """Make a shipped model that was run one of the session, for what comes next."""
        if model is not None and model not in self.session.models:
            self.session.use_model(model)

    def _before(self, layer: Layer) -> Any:
        """Return what an earlier run wrote, where a new one can write beside it."""
        model, old = self.model(), find_layer(self.viewer.layers, PREDICTED, layer)
        shape = image_of(layer).grey().shape
        if model is None or not isinstance(old, Labels) or not isinstance(old.data, np.ndarray):
            return None
        fits = old.data.shape == shape and old.data.dtype == np.min_scalar_type(max(model.values))
        return old.data if fits else None

    def layer_changed(self, layer: Layer | None) -> None:
        self._forget()
        super().layer_changed(layer)
        self._show_decoding()
        self._show_sizes()

    def options_changed(self, options: PredictDockOptions) -> None:
        self._show_decoding()

    def shown(self) -> None:
        # Torch takes seconds to load: begin while the user looks for the button.
        model = self.model()
        self._warm.ask_soon(lambda progress: _warm_up(model))

    def hidden(self) -> None:
        self._looks.forget()
        self._unhide()
        super().hidden()

    def close_tool(self) -> None:
        if not self._closed:
            self._maps = None
            if (slide := self._begun_slide()) is not None:
                slide.end()
            disconnect_events(self.viewer.dims.events, self)
            self.session.models_changed.disconnect(self._fill_models)
        super().close_tool()

    def refresh(self) -> None:
        super().refresh()
        model = self.model()
        self.run_button.setEnabled(self.run_button.isEnabled() and model is not None)
        self.save_button.setEnabled(model is not None and bool(model.state))

    def _show_objects(self, layer: Layer, options: PredictDockOptions, found: FoundObjects) -> str:
        """Put objects into their layer, and keep what they can be made of anew."""
        self._keep(found.model)
        self._maps = found.maps
        ids = found.image.asarray()
        n = int(ids.max(initial=0))
        if found.index is not None:
            self._show_look(layer, ids)
            return f"{n} objects. {_scaled_in_words(found.zoom)}{_PASSING}"
        self._unhide()
        self.preview.remove()
        said = {**options.model_dump(), **self.decoding.options.model_dump()}
        made, remark = self.session.show_labels(
            self.viewer.layers,
            layer,
            PREDICTED_OBJECTS,
            ids,
            name=f"{layer.name} objects",
            options={**said, "zoom": list(found.zoom), **_named(found.model)},
            objects=True,
        )
        made.visible = True
        next_step = _TRY_OTHERS if found.maps is not None else _NEXT
        stopped = "" if found.stopped_at is None else _stopped(found.stopped_at)
        scaled = _scaled_in_words(found.zoom).strip()
        counted = f"{n} objects.{_specks(ids)}"
        return " ".join(filter(None, (stopped, counted, scaled, next_step, remark)))

    def _on_model(self, number: int = 0) -> None:
        """Offer what the chosen model is for."""
        model = self.model()
        if model is not None:
            self.decoding.set(split_depth=model.decoding.split_depth)
        self._forget()
        self._show_decoding()
        self._show_sizes()
        self.refresh()

    def _show_sizes(self) -> None:
        """Offer to scale the image, where the model knows a size and the image has another."""
        layer, model = self.pick.layer(), self.model()
        differs = "" if layer is None or model is None else mismatch(model, image_of(layer))
        known = 0.0 if model is None else model.diameter
        box, tick = self.form.widget("diameter"), self.form.widget("rescale")
        box.native.setSpecialValueText(f"as learnt: {known:.3g}")
        tick.text = f"pixel size {differs} as learnt"  # type: ignore[attr-defined]  # a CheckBox
        wanted = {"diameter": known > 0, "auto_diameter": known > 0, "rescale": bool(differs)}
        self.form.show_only(wanted)

    def _show_decoding(self) -> None:
        model = self.model()
        classes = model is None or model.decoder is None
        self.decoding.show_only({"background": classes})
        self.decoding.show_only(dict.fromkeys(LINK_FIELDS, self._can_link()))
        options = self.form.options
        wanted = model is not None and _wants_objects(options, model)
        self.decoding.page.setVisible(wanted)

    def _can_link(self) -> bool:
        """Whether objects end with their plane or stack, and there is another."""
        layer, model = self.pick.layer(), self.model()
        if layer is None or model is None:
            return False
        return bool(links_along(image_of(layer).axes, "ZYX"[-model.ndim :]))

    def _on_decoding(self, options: DecodeOptions) -> None:
        self._look(told=True)

    def _look(self, event: object = None, *, told: bool = False) -> None:
        """Show what other decoding would make of the plane on screen, if it was predicted."""
        layer, maps = self.pick.layer(), self._maps
        showing = told or self.preview.layer is not None
        if layer is None or maps is None or self.running or not showing or not self.isVisible():
            return
        index = self.preview.plane(layer)
        model, options = self.model(), self.form.options
        if model is not None:
            options = _scaled(options, model, image_of(layer))
        if index is None or not maps.hold(layer, model, options, index):
            self.preview.remove()
            self._unhide()
            if index is None and told:
                self.say("Turn the view back to 2D to see how they are split, or press Predict.")
            return
        try:
            decoding = self.decoding.options
        except InputError as error:
            self.say(str(error), problem=True)
            return
        self._looks.ask(lambda progress: (maps, index, maps.plane(index, decoding, progress)))

    def _on_look(self, answer: tuple[Maps, tuple[int, ...], Any]) -> None:
        maps, index, ids = answer
        layer = self.pick.layer()
        if maps is not self._maps or layer is not maps.layer or layer not in self.viewer.layers:
            return
        if self.running or not self.isVisible() or self.preview.plane(layer) != index:
            return
        n = int(np.count_nonzero(np.unique(ids)))
        self._show_look(layer, ids)
        again = "" if maps.index is not None else " Predict writes them; nothing is computed anew."
        self.say(f"{n} objects on the plane on screen.{again}")

    def _show_look(self, layer: Layer, ids: Any) -> None:
        """Show objects in passing, in place of those that were written before."""
        written = find_layer(self.viewer.layers, PREDICTED_OBJECTS, layer)
        if written is not None and written.visible:
            written.visible = False
            self._hidden = written
        self.preview.show(layer, object_colours(ids), name="objects preview", **objects_look())

    def _unhide(self) -> None:
        """Show again the layer that a passing look stood in for."""
        hidden, self._hidden = self._hidden, None
        if hidden is not None and hidden in self.viewer.layers:
            hidden.visible = True

    def _forget(self) -> None:
        """Drop the maps, which are of another layer or model."""
        self._maps = None
        if hasattr(self, "_looks"):
            self._looks.forget()
            self._unhide()
            self.preview.remove()

    def _show_probabilities(self, layer: Layer, said: dict[str, Any], proba: Image) -> None:
        at = proba.axes.index("C")
        for number, name in enumerate(proba.channel_names):
            show_image(
                self.viewer.layers,
                layer,
                f"{PROBABILITIES} {name}",
                np.take(proba.data, number, axis=at),
                name=f"{layer.name} {name}",
                options=said,
                contrast_limits=(0, 1),
                visible=False,
            )

    def _fill_models(self) -> None:
        before, ships = self.models.currentData(), bool(shipped.names())
        nothing = "" if self.session.models or ships else "none yet: train or load one"
        self.models.fill(self.session.models, before=nothing)
        if self.session.current is not None:
            self.models.choose(self.session.current)
        if self.models.currentData() is not before or before is None:
            self._on_model()
        self.refresh()

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load a model", "", FILES)
        if path:
            self.load_model(Path(path))

    def _ask_save(self) -> None:
        model = self.model()
        if model is None:
            return
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the model", f"{model.name.replace(' ', '-')}.zip", _FILES
        )
        if path:
            self.save_model(Path(path).with_suffix(".zip"))

    def _on_file(self, answer: Path) -> None:
        self.say(f"Saved {answer}. Load model... opens it again, here or in another window.")

    def _on_opened(self, model: TrainedModel, path: Path) -> None:
        self.session.add_model(model)
        classes = ", ".join(model.classes)
        kind = f"a {model.spec.kind} of the classes {classes}"
        self.say(f"Loaded {model.name}: {kind}. Next: {self.run_text}.")


def _warm_up(model: TrainedModel | None) -> None:
    """Load and compile what the first prediction would have to wait for."""
    if find_spec("torch") is not None and model is not None and model.state:
        model.check_weights()
    one = np.ones((16, 16), np.float32)
    decode(one, one[None], DecoderSpec())


def _named(model: TrainedModel | None) -> dict[str, str]:
    """Return what a result says of the model that made it."""
    return {} if model is None else {"model": model.name, "fingerprint": model.fingerprint}


def _scaled_in_words(zoom: Sequence[float]) -> str:
    said = zoom_in_words(zoom) if zoom else ""
    return f"{said[:1].upper()}{said[1:]}. " if said else ""


def _scaled(options: PredictDockOptions, model: TrainedModel, image: Image) -> PredictDockOptions:
    """Settle the result, and keep a scale only where one was offered."""
    if options.extent == "visible plane":
        options = options.model_copy(update={"what": "auto"})
    options = settle_what(options, model)
    unknown: dict[str, Any] = {"diameter": 0.0, "auto_diameter": False}
    update = {} if model.diameter else unknown
    update |= {} if mismatch(model, image) else {"rescale": False}
    return options.model_copy(update=update)


def _wants_objects(options: PredictDockOptions, model: TrainedModel) -> bool:
    """Whether objects are to be made: of a passing look, where the model learnt them."""
    what = "auto" if options.extent == "visible plane" else options.what
    settled = settle_what(options.model_copy(update={"what": what}), model)
    return settled.what == "objects"


def _decoded(maps: Maps, options: DecodeOptions, progress: Progress) -> FoundObjects:
    ids = maps.objects(options, progress)
    return FoundObjects(ids, maps.model, maps.index, maps, zoom=maps.zoom)


def _specks(ids: Any) -> str:
    """Say how many objects are so small that they are hardly meant."""
    if ids.size > _COUNTED_AT_ONCE:
        return ""
    sizes = np.bincount(ids.ravel())[1:]
    sizes = sizes[sizes > 0]
    n = int(np.count_nonzero(sizes < _SPECK * np.median(sizes))) if len(sizes) else 0
    if not n:
        return ""
    what = "1 is a speck" if n == 1 else f"{n} are specks"
    return f" {what}, under a tenth of the usual size: Smallest size drops them."


def _saved(model: TrainedModel, path: Path) -> Path:
    from napari_unetseg.core.models_io.native import save

    save(model, path)
    return path


def predicted(
    model: TrainedModel,
    image: Image,
    options: PredictDockOptions,
    before: Any,
    progress: Progress,
) -> dict[str, Any]:
    """Predict classes, probabilities or, of one run, both.

    Parameters
    ----------
    before
        What a stop leaves as it is where nothing was predicted yet: labels, to be copied.
    """
    out = None if before is None else np.array(before)
    prepared = prepare_prediction(model, image, options)
    made = run_prediction(prepared, out=out, progress=progress)
    found: dict[str, Any] = {"classes": made.labels, "probabilities": made.probabilities}
    there = {name: image for name, image in found.items() if image is not None}
    return {**there, "stopped at": made.stopped_at, "zoom": made.zoom}


def _stopped(fraction: float) -> str:
    return f"Stopped at {fraction:.0%}: what was predicted by then is kept."


def _shares(labels: Any, model: TrainedModel | None) -> str:
    if model is None:
        return ""
    counts = np.bincount(labels.ravel(), minlength=max(model.values) + 1) / labels.size
    shares = [
        f"{name} {100 * counts[value]:.1f} %"
        for name, value in zip(model.classes, model.values, strict=True)
    ]
    return f"{', '.join(shares)}. Next: Correct, then Train on."
