"""The Predict dock: run a trained model on the active layer."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Layer
from napari.utils.events import disconnect_events
from qtpy.QtCore import QTimer

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.object_size import mismatch
from napari_unetseg.core.inference.open_segmenter import check_weights
from napari_unetseg.core.inference.predict_options import finds_scale, sees_stacks
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.models_io.model_pictures import edge_pixels
from napari_unetseg.core.objects.decode import LEARNT, DecodeOptions, decode
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.objects.linking import Link, link_choices, link_fields
from napari_unetseg.core.progress import part, to_the_end
from napari_unetseg.gui.predict.fit_decoding import FittedDecoding, FittingRow
from napari_unetseg.gui.predict.live_splitting import LiveSplitting
from napari_unetseg.gui.predict.load_and_save import LoadAndSave
from napari_unetseg.gui.predict.model_finder import ModelFinder, Tried, try_shipped
from napari_unetseg.gui.predict.predict_run import (
    PredictDockOptions,
    PredictRun,
    begin_run,
    decode_work,
    is_larger_than_memory,
    predict_work,
    settled_result,
    visible_part,
)
from napari_unetseg.gui.predict.prediction_layers import (
    PASSING,
    earlier_classes,
    objects_in_words,
    scale_in_words,
    show_prediction,
)
from napari_unetseg.gui.shared.dock_help import text_button
from napari_unetseg.gui.shared.form import Form
from napari_unetseg.gui.shared.layers import find_layer, image_of, long_axes
from napari_unetseg.gui.shared.model_choice import ModelChoice, beside
from napari_unetseg.gui.shared.outlines_box import OutlinesBox
from napari_unetseg.gui.shared.preview import classes_look
from napari_unetseg.gui.shared.save_dialog import ask_to_save
from napari_unetseg.gui.shared.task import Latest, Reporter, Work
from napari_unetseg.gui.shared.tool import Tool
from napari_unetseg.gui.shared.training_layers import PREDICTED, PREDICTED_OBJECTS

if TYPE_CHECKING:
    from napari_unetseg.gui.predict.predict_to_file import Slide


_AUTOMATIC = "automatic"
_PLUGIN, _MEASURE = "napari-unetseg", "Measure"
_LOOKING = "Trying the models on this image..."
_LOOK_MS = 300
"""Time in which the page and the image are drawn, before models are tried."""
_FINDER_ROW = 3
"""Row of the form below the model."""


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
    at_sight = ("what", "diameter")
    run_help = "Run the model. Labels that you have corrected are kept."
    can_stop = True
    stop_help = "End now and keep what is predicted so far; elsewhere nothing changes."

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        # Measured: better for objects of other sizes, and no worse for those of the trained one.
        super().__init__(napari_viewer, PredictDockOptions(auto_diameter=True))
        self.models = ModelChoice()
        self.models.setToolTip(
            "Automatic tries the shipped models on the image, and takes the one that fits best."
        )
        self.try_button = text_button(
            "Try all",
            "Run every shipped model on the visible part of the image, and show the results side "
            "by side, the most plausible first.",
            self.try_all,
        )
        self._asked: Literal["predict", "try", "fit"] = "predict"
        self.fitting = FittingRow(self.viewer, self.fit_decoding)
        self.finder = ModelFinder()
        self.finder.taken.connect(self.models.choose)
        self.outlines = OutlinesBox(self._results)
        self.decoding = Form(DecodeOptions(), first=("split", "min_size"))
        self.live = LiveSplitting(
            self, self.viewer, self.preview, self._wanted, self.say, self.outlines.isChecked
        )
        self.outlines.toggled.connect(lambda: self.live.look())
        self.files = LoadAndSave(self.model, self._on_opened, self.say)
        self.measure_button = text_button(
            _MEASURE, "Measure these objects, in Results.", self.measure
        )
        self._warm = Latest(self)
        self._looking = Latest(self)
        self._looking.answered.connect(self._on_looked)
        # Without an answer, for instance without torch: a run says why.
        self._looking.idle.connect(self._end_look)
        self._look_soon = QTimer(self)
        self._look_soon.setSingleShot(True)
        self._look_soon.setInterval(_LOOK_MS)
        self._look_soon.timeout.connect(self._look)
        self._slide: Slide | None = None
        self.decoding.changed.connect(self._on_decoding)
        self.viewer.dims.events.current_step.connect(self.live.look)
        self.viewer.dims.events.ndisplay.connect(self.live.look)
        self.viewer.dims.events.order.connect(self.live.look)
        self.assemble(
            rows=[("Model", beside(self.models, self.try_button))],
            extras=[self.decoding.page],
            more=[
                ("Objects", self.decoding),
                ("", self.fitting),
                ("Image and scale", self.form),
                ("Model files", self.files),
            ],
            results=[self.outlines],
            forms={"splitting": self.decoding},
        )
        self.form.layout.insertRow(_FINDER_ROW, self.finder)
        self.foot.addWidget(self.measure_button)
        self.viewer.layers.events.removed.connect(self._offer_measure)
        self.models.currentIndexChanged.connect(self._on_model)
        self.session.models_changed.connect(self._fill_models)
        self._fill_models()

    def whole_axes(self) -> str:
        model, layer = self.model(), self.pick.layer()
        if model is None or layer is None:
            return "YX"
        return "ZYX" if sees_stacks(self.form.options, model, image_of(layer)) else "YX"

    def forgotten(self) -> frozenset[str]:
        return frozenset({"extent", "diameter", *LEARNT})

    def model(self) -> TrainedModel | None:
        """Return the chosen model; None while it is left to the image, or there is none."""
        return self.models.chosen()

    # Runs

    def try_all(self) -> None:
        """Run every shipped model on the visible part of the image."""
        self._run_to("try")

    def fit_decoding(self) -> None:
        """Choose how the model makes objects by the labels chosen for it."""
        self._run_to("fit")

    def look_for_model(self) -> None:
        """Try the shipped models on the image while the page is in sight, and mark the best.

        Nothing is run or chosen, and leaving the page ends it. With a chosen model nothing happens.
        """
        self._look_soon.start()

    def measure(self) -> None:
        """Open Measure, and measure the predicted objects."""
        labels, bench = self._objects(), self._bench()
        if labels is None:
            return
        if bench is not None:
            tool = bench.open_tool(_MEASURE)
        else:
            _, tool = self.viewer.window.add_plugin_dock_widget(_PLUGIN, _MEASURE)
        tool.pick.pick(labels)
        tool.run()

    def _look(self) -> None:
        layer = self.pick.layer()
        free = self.isVisible() and not self.running and self.finder.tried is None
        if layer is None or not free or self.model() is not None or not shipped.names():
            return
        seen = visible_part(layer, self.preview.plane(layer))
        self.say(_LOOKING)
        self._looking.ask(lambda progress: try_shipped(seen, progress))

    def _end_look(self) -> None:
        self._looking.forget()
        if self.message.text() == _LOOKING:
            self.say("")

    def _on_looked(self, tried: Tried) -> None:
        self.say(self._show_tried(tried))

    def _run_to(self, what: Literal["try", "fit"]) -> None:
        """Start a run for something else than a prediction."""
        self._asked = what
        try:
            self.run()
        finally:
            self._asked = "predict"

    def work(self, layer: Layer, options: PredictDockOptions) -> Work:
        self._end_look()
        model = self.model()
        if self._asked == "fit":
            return self.fitting.work(layer, model, self.preview.plane(layer))
        if self._asked == "try" or (model is None and shipped.names()):
            return self._try_work(layer, options)
        if model is None:
            raise InputError(
                "There is no model yet. Train one (Train), or load one (Load model...)."
            )
        index = self._chosen_plane(layer, options)
        run = begin_run(layer, model, options, self.decoding.options, index)
        if index is None and is_larger_than_memory(run.prediction.image):
            return self._large_run().work(run, self._ask_out(run))
        if not run.wants_objects:
            before = earlier_classes(self.viewer.layers, run) if index is None else None
            return predict_work(run, before)
        kept = self.live.kept
        if kept is not None and kept.index == index and kept.serves(run):
            return decode_work(kept, run)
        self.live.kept = None
        return predict_work(run)

    def _chosen_plane(self, layer: Layer, options: PredictDockOptions) -> tuple[int, ...] | None:
        """Return the index of the plane to predict alone; None for everything."""
        if options.extent != "visible plane":
            return None
        index = self.preview.plane(layer)
        if index is None:
            raise InputError(
                "The plane on screen is not one of the image's last two axes. Turn the view back "
                "to 2D, or predict everything."
            )
        return index

    def _try_work(self, layer: Layer, options: PredictDockOptions) -> Work:
        """Return what tries the shipped models, and unless that is all runs the best of them."""
        seen = visible_part(layer, self.preview.plane(layer))
        runs: dict[str, PredictRun] = {}
        if self._asked != "try" and not is_larger_than_memory(image_of(layer)):
            index = self._chosen_plane(layer, options)
            for name in shipped.names_to_try():
                chosen = shipped.open_shipped(name)
                runs[name] = begin_run(layer, chosen, options, DecodeOptions(), index)
            known = self.finder.tried
            if known is not None and known.best is not None and known.best.model.name in runs:
                begun = replace(runs[known.best.model.name], trial=known.best)
                return lambda progress: replace(known, run=predict_work(begun)(progress))

        def work(progress: Reporter) -> Tried:
            share = 0.4 if runs else 1.0
            tried = try_shipped(seen, to_the_end(part(progress, 0, share)))
            best = tried.comparison.best
            if best is None or best.model.name not in runs:
                return tried
            run = replace(runs[best.model.name], trial=best)
            made = predict_work(run)(_Onward(progress, share))
            return replace(tried, run=made)

        return work

    def show_result(
        self,
        layer: Layer,
        options: PredictDockOptions,
        result: "PredictRun | Tried | FittedDecoding",
    ) -> str:
        """Show a run: everything that is said and noted of it comes from the run itself."""
        if isinstance(result, FittedDecoding):
            return result.keep(self.session)
        if isinstance(result, PredictRun):
            self.finder.forget()
            self._show_finder()
            return self._show_run(result)
        best, reason = result.best, result.comparison.reason
        if result.run is not None:
            self.finder.forget()
            return self._show_run(result.run, reason)
        if layer is not self.pick.layer():
            return f"{reason} Another image was chosen meanwhile."
        if best is not None and self.model() is None:
            self.models.choose(best.model.name)
        return self._show_tried(result)

    def _show_tried(self, tried: Tried) -> str:
        """Show how the shipped models do on the image, and return what to do next."""
        self.finder.show_tried(tried)
        self._show_finder()
        self.scroller.ensureVisible(0, 0)
        if tried.best is None:
            return tried.comparison.reason
        return (
            f"{tried.comparison.reason} Next: press {self.run_text} to run it, or click another "
            "picture."
        )

    def _show_run(self, result: PredictRun, reason: str = "") -> str:
        if result.model not in self.session.models and shipped.name_of_model(result.model):
            # A shipped model that was run is one of the session, for what comes next.
            self.session.use_model(result.model)
        if result.wants_objects and result.prediction.path is None:
            self.live.kept = result if result.prediction.maps is not None else None
        if result.index is not None:
            return self._show_in_passing(result)
        self.live.drop()
        message = show_prediction(self.session, self.viewer.layers, result, reason)
        if self.outlines.isChecked():
            self.outlines.apply()
        return message

    def where_else(self, result: "PredictRun | Tried | FittedDecoding") -> str:
        path = result.prediction.path if isinstance(result, PredictRun) else None
        return "" if path is None else f"It is in {path}. "

    def _show_in_passing(self, run: PredictRun) -> str:
        labels = run.prediction.result.asarray()
        words = [scale_in_words(run.prediction.zoom), PASSING]
        if run.wants_objects:
            self.live.show(run.layer, labels)
            words.insert(0, f"{objects_in_words(int(labels.max(initial=0)))}.")
        else:
            look = classes_look(int(labels.max()))
            if self.outlines.isChecked():
                labels = np.where(edge_pixels(labels), labels, 0).astype(labels.dtype)
            self.preview.show(run.layer, labels, name="prediction preview", **look)
        return " ".join(filter(None, words))

    def _wanted(self) -> PredictRun | None:
        """Return the run that the dock asks for, of the plane on screen; see `LiveSplitting`."""
        layer, model = self.pick.layer(), self.model()
        if layer is None or model is None or self.running or not self.isVisible():
            return None
        options = self.form.options.model_copy(update={"extent": "everything", "what": "objects"})
        run = begin_run(layer, model, options, self.decoding.options)
        return replace(run, index=self.preview.plane(layer))

    # Images larger than memory

    def _large_run(self) -> "Slide":
        """Return the runner for images larger than memory; it is loaded with the first of them."""
        if self._slide is None:
            from napari_unetseg.gui.predict.predict_to_file import Slide

            self._slide = Slide(self.viewer)
        return self._slide

    def _ask_out(self, run: PredictRun) -> Path:
        """Ask for the file that the result of an image larger than memory is written to."""
        what = run.options.what
        if what == "both":
            raise InputError(
                "This image is larger than memory, and one result is written at a time. "
                "Choose classes, objects or probabilities."
            )
        path = ask_to_save(
            self,
            "This image is larger than memory: where to write the result",
            f"{run.layer.name} {what}.zarr",
            "OME-Zarr (*.zarr)",
        )
        if path is None:
            raise InputError("Choose where the result is to be written, and press Predict again.")
        return path

    def show_on_the_way(self, thing: Any) -> None:
        if self._slide is not None:
            self._slide.on_the_way(thing)

    def cancel(self) -> None:
        going = self.running and self._slide is not None and self._slide.on
        super().cancel()
        if going:
            self.say("Cancelled. Predict into the same file goes on with what is missing.")

    def _on_finished(self) -> None:
        super()._on_finished()
        if self._slide is not None:
            self._slide.end()

    # What the page shows

    def layer_changed(self, layer: Layer | None) -> None:
        self._end_look()
        self.live.forget()
        self.models.fit_to(layer)
        self.finder.forget()
        super().layer_changed(layer)
        self._show_finder()
        self.outlines.read()
        self._show_decoding()
        self._show_sizes()

    def options_changed(self, options: PredictDockOptions) -> None:
        self._show_decoding()
        self._show_sizes()

    def shown(self) -> None:
        # Torch takes seconds to load: begin while the user looks for the button.
        model = self.model()
        self._warm.ask_soon(lambda progress: _warm_up(model))
        self.outlines.read()
        self._show_finder()

    def hidden(self) -> None:
        self._end_look()
        self.live.drop()
        super().hidden()

    def close_tool(self) -> None:
        if not self._closed:
            self._look_soon.stop()
            self.live.kept = None
            self.fitting.labels.close_events()
            if self._slide is not None:
                self._slide.end()
            disconnect_events(self.viewer.dims.events, self.live)
            disconnect_events(self.viewer.layers.events, self)
            self.session.models_changed.disconnect(self._fill_models)
        super().close_tool()

    def refresh(self) -> None:
        super().refresh()
        model = self.model()
        able = self.run_button.isEnabled()
        self.run_button.setEnabled(able and (model is not None or bool(shipped.names())))
        self.try_button.setEnabled(able and bool(shipped.names()))
        self.fitting.button.setEnabled(able and model is not None)
        self.files.save_button.setEnabled(model is not None and bool(model.state))
        self._offer_measure()

    def _objects(self) -> Layer | None:
        """Return the predicted objects of the picked image."""
        layer = self.pick.layer()
        return None if layer is None else find_layer(self.viewer.layers, PREDICTED_OBJECTS, layer)

    def _bench(self) -> Any:
        """Return the Workbench that this is a page of, if it is."""
        bench = self.session.workbench
        return bench if bench is not None and bench.isAncestorOf(self) else None

    def _offer_measure(self, event: object = None) -> None:
        there = not self.running and (self._bench() is not None or hasattr(self.viewer, "window"))
        self.measure_button.setVisible(there and self._objects() is not None)

    def _on_model(self, number: int = 0) -> None:
        """Offer what the chosen model is for."""
        model = self.model()
        if model is not None:
            self._end_look()
            self._show_learnt(model.decoding)
        self.live.forget()
        self._show_decoding()
        self._show_sizes()
        self._show_finder()
        self.refresh()

    def _show_learnt(self, learnt: DecodeOptions) -> None:
        """Show how objects are made as trained; the smallest size depends on the image's scale."""
        shown = learnt.model_dump(include=set(LEARNT)) | {"min_size": 0}
        size = f" (0 = {learnt.min_size})" if learnt.min_size else ""
        box = self.decoding.widget("min_size")
        self.decoding.label("min_size").setText(f"{box.label}{size}")
        self.decoding.set(**shown)

    def _show_finder(self) -> None:
        """Show the gallery while no model is chosen, or after the shipped ones were tried."""
        model = self.model()
        wanted = bool(shipped.names()) and (model is None or self.finder.tried is not None)
        self.finder.setVisible(wanted)
        if wanted and self.isVisible():
            self.finder.show_examples()
        marked = self.finder.marked if model is None else model
        self.finder.gallery.check("" if marked is None else marked.name)

    def _results(self) -> list[Layer | None]:
        """Return the layers that hold predictions of the picked image."""
        layer = self.pick.layer()
        if layer is None:
            return []
        return [
            find_layer(self.viewer.layers, role, layer) for role in (PREDICTED_OBJECTS, PREDICTED)
        ]

    def _show_sizes(self) -> None:
        """Offer to scale the image, where the model knows a size and the image has another."""
        layer, model = self.pick.layer(), self.model()
        differs = "" if layer is None or model is None else mismatch(model, image_of(layer))
        known = 0.0 if model is None else model.diameter
        box, tick = self.form.widget("diameter"), self.form.widget("rescale")
        box.native.setSpecialValueText(f"as trained: {known:.3g} px")
        tick.text = f"pixel size {differs} as trained"  # type: ignore[attr-defined]  # a CheckBox
        found = False
        if layer is not None and model is not None:
            found = finds_scale(self.form.options, model, image_of(layer))
        wanted = {"diameter": known > 0, "auto_diameter": found, "rescale": bool(differs)}
        self.form.show_only(wanted)

    def _on_decoding(self, options: DecodeOptions) -> None:
        self._show_decoding()
        self.live.look(changed=True)

    def _show_decoding(self) -> None:
        layer, model = self.pick.layer(), self.model()
        self.decoding.show_only({"background": model is None or model.decoder is None})
        objects = False
        choices: tuple[Link, ...] = ()
        if model is not None:
            objects = settled_result(self.form.options, model).what == "objects"
        if model is None:
            self.form.show_only({"orientations": False})
        elif layer is not None:
            # Objects end with their plane or stack, and there is another.
            image = image_of(layer)
            choices = link_choices(long_axes(image), self.whole_axes())
            self.decoding.offer("link", choices)
            self.form.show_only({"orientations": model.ndim == 2 and image.length("Z") > 1})
        self.decoding.show_only(link_fields(choices, self.decoding.options))
        self.decoding.page.setVisible(objects)
        self.decoding.show_rare(objects)
        self.fitting.setVisible(objects)

    # Models

    def _fill_models(self) -> None:
        before, ships = self.models.currentData(), bool(shipped.names())
        nothing = "" if self.session.models else "none yet: train or load one"
        self.models.fill(self.session.models, before=_AUTOMATIC if ships else nothing)
        wanted = self.session.next_choice(before)
        if wanted is not None:
            self.models.choose(wanted)
        if self.models.currentData() is not before or before is None:
            self._on_model()
        self.refresh()

    def _on_opened(self, model: TrainedModel) -> None:
        self.session.add_model(model)
        classes = ", ".join(model.classes)
        kind = f"a {model.spec.kind} of the classes {classes}"
        self.say(f"Loaded {model.name}: {kind}. Next: {self.run_text}.")


class _Onward:
    """The rest of a run's progress; what is shown on the way goes on."""

    def __init__(self, progress: Reporter, start: float) -> None:
        self._rest, self.show = part(progress, start, 1), progress.show

    def __call__(self, fraction: float, message: str = "", /) -> None:
        self._rest(fraction, message)


def _warm_up(model: TrainedModel | None) -> None:
    """Load and compile what the first prediction would have to wait for."""
    models = (
        [model] if model is not None else [shipped.open_shipped(n) for n in shipped.names_to_try()]
    )
    if find_spec("torch") is not None and models and models[0].state:
        check_weights(models[0])
    one = np.ones((16, 16), np.float32)
    decode(one, one[None], DecoderSpec())


__all__ = ["PredictWidget"]
