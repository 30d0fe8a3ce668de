"""The Predict dock: run a trained model on the active layer."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from napari.layers import Layer
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.packages import load, save
from napari_unetseg.core.progress import Progress
from napari_unetseg.core.specs import Options, option
from napari_unetseg.core.trained import TrainedModel
from napari_unetseg.gui.layers import image_of, plane_image, show_image
from napari_unetseg.gui.lesson import PREDICTED
from napari_unetseg.gui.preview import classes_look
from napari_unetseg.gui.task import Latest, Work
from napari_unetseg.gui.tool import Tool

PROBABILITIES = "probabilities"
_FILES = "Model packages (*.zip)"


class PredictOptions(Options):
    """What is predicted, and where."""

    extent: Literal["everything", "visible plane"] = option(
        "everything",
        "On",
        "Every plane into a layer, or only a passing look at the plane on screen.",
    )
    what: Literal["classes", "probabilities", "both"] = option(
        "classes",
        "Result",
        "Classes: a Labels layer. Probabilities: an Image layer for each class.",
        when={"extent": ("everything",)},
    )
    flips: bool = option(
        False,
        "Flips",
        "Predict every mirror image as well and take the mean: a little better, four times slower.",
        advanced=True,
    )
    tile: int = option(
        0,
        "Tile side",
        "Side in pixels of the pieces that are predicted at once; 0 chooses by cost. Smaller tiles "
        "take less memory and more time.",
        ge=0,
        le=8192,
        step=32,
        advanced=True,
    )


class PredictWidget(Tool[PredictOptions]):
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

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(napari_viewer, PredictOptions())
        self._files = Latest(self)
        self._files.answered.connect(self._on_file)
        self._files.refused.connect(self._on_refused)
        self.session.models_changed.connect(self._fill_models)
        self._fill_models()

    def rows(self) -> list[tuple[str, QWidget]]:
        self.models = QComboBox()

        self.models.currentIndexChanged.connect(lambda: self.refresh())
        return [("Model", self.models)]

    def extras(self) -> list[QWidget]:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        self.load_button = QPushButton("Load model...")
        self.load_button.setToolTip("Open a model package (.zip) that this plugin saved.")
        self.load_button.clicked.connect(lambda: self._ask_load())
        self.save_button = QPushButton("Save model...")
        self.save_button.setToolTip("Write the chosen model to a bioimage.io package (.zip).")
        self.save_button.clicked.connect(lambda: self._ask_save())
        line.addWidget(self.load_button)
        line.addWidget(self.save_button)
        return [row]

    def model(self) -> TrainedModel | None:
        """Return the chosen model."""
        chosen: TrainedModel | None = self.models.currentData()
        return chosen

    def load_model(self, path: Path) -> None:
        """Read a model package in another thread and offer it."""
        self.say(f"Reading {path.name}...")
        self._files.ask(lambda progress: load(path))

    def save_model(self, path: Path) -> None:
        """Write the chosen model to a package in another thread."""
        model = self.model()
        if model is not None:
            self.say(f"Writing {path.name}...")
            self._files.ask(lambda progress: _saved(model, path))

    def work(self, layer: Layer, options: PredictOptions) -> Work:
        model = self.model()
        if model is None:
            raise InputError("Train a model first, or load one.")
        image = image_of(layer)
        if options.extent == "visible plane":
            index = self.preview.plane(layer)
            if index is None:
                raise InputError(
                    "The plane on screen is not one of the image's last two axes. Turn the view "
                    "back to 2D, or predict everything."
                )
            image = plane_image(image, index)
        return lambda progress: _predict(model, image, options, progress)

    def show_result(self, layer: Layer, options: PredictOptions, result: dict[str, Image]) -> str:
        model = self.model()
        said = {**options.model_dump(), "model": model.name if model is not None else ""}
        if options.extent == "visible plane":
            classes = result["classes"].asarray()
            look = classes_look(int(classes.max()))
            self.preview.show(layer, classes, name="prediction preview", **look)
            return "This is a passing look at the plane on screen. Predict everything to keep it."
        self.preview.remove()
        remarks = []
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
            remarks += [_shares(labels, model), remark]
        return " ".join(filter(None, remarks))

    def close_tool(self) -> None:
        if not self._closed:
            self.session.models_changed.disconnect(self._fill_models)
        super().close_tool()

    def refresh(self) -> None:
        super().refresh()
        ready = self.model() is not None
        self.run_button.setEnabled(self.run_button.isEnabled() and ready)
        self.save_button.setEnabled(ready)

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
        self.models.clear()
        for model in self.session.models:
            self.models.addItem(model.name, model)
        if not self.session.models:
            self.models.addItem("none yet: train or load one", None)
        self.models.setCurrentIndex(self.models.count() - 1)
        self.refresh()

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load a model", "", _FILES)
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

    def _on_file(self, answer: TrainedModel | Path) -> None:
        if isinstance(answer, Path):
            self.say(f"Saved {answer}.")
            return
        self.session.add_model(answer)
        classes = ", ".join(answer.classes)
        self.say(f"Loaded {answer.name}: a {answer.spec.kind} of the classes {classes}.")


def _saved(model: TrainedModel, path: Path) -> Path:
    save(model, path)
    return path


def _predict(
    model: TrainedModel, image: Image, options: PredictOptions, progress: Progress
) -> dict[str, Image]:
    everything = options.extent == "everything"
    wanted = (
        [what for what in ("classes", "probabilities") if options.what in (what, "both")]
        if everything
        else ["classes"]
    )
    made = {}
    for what in wanted:
        made[what] = model.predict(
            image,
            what,  # type: ignore[arg-type]
            tile=options.tile or None,
            flips=options.flips,
            progress=progress,
        )
    return made


def _shares(labels: Any, model: TrainedModel | None) -> str:
    if model is None:
        return ""
    counts = np.bincount(labels.ravel(), minlength=max(model.values) + 1) / labels.size
    shares = [
        f"{name} {100 * counts[value]:.1f} %"
        for name, value in zip(model.classes, model.values, strict=True)
    ]
    return f"{', '.join(shares)}. Correct them, then train on."
