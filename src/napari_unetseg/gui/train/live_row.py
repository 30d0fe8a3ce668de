"""The row of the Train dock that switches live mode on, and shows its result and its state."""

from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QProgressBar, QSizePolicy, QWidget

from napari_unetseg.core.model.pixel_specs import PixelSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.gui.shared.layers import image_of
from napari_unetseg.gui.shared.preview import labels_look
from napari_unetseg.gui.shared.tool import Tool
from napari_unetseg.gui.train.live_training import Live, LivePrediction

_FITTING = "Live: fitting the model. The first time takes a few seconds..."
_FITTED = "Live: keep painting to correct it, then press Train to keep the model."
_BAR_HEIGHT = 8


class LiveRow(QWidget):
    """A tick for live mode, with a bar while there is no prediction yet.

    Parameters
    ----------
    tool
        The page, whose preview and message show the predictions.
    """

    def __init__(self, tool: Tool[Any]) -> None:
        super().__init__(tool)
        self._tool = tool
        self.live = Live(tool.viewer, tool.preview.plane, self)
        self.live.started.connect(self._on_started)
        self.live.predicted.connect(self._on_predicted)
        self.live.refused.connect(self._on_refused)
        self.tick = QCheckBox("Live")
        self.tick.setToolTip(
            "Refit the model after every stroke and colour the visible part. Train keeps the model."
        )
        self.bar = QProgressBar()
        self.bar.setRange(0, 0)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(_BAR_HEIGHT)
        self.bar.hide()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.tick)
        row.addWidget(self.bar, 1)
        # The tick is no wider than its words, where alone it takes a click.
        self.tick.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        row.addStretch()

    def show_tick(self, wanted: bool) -> None:
        """Show the tick, or hide it for models without live mode."""
        self.tick.setVisible(wanted)
        self.setVisible(wanted)

    def follow(
        self,
        spec: PixelSpec | None,
        layer: Layer | None,
        labels: Layer | None,
        features_from: TrainedModel | None,
        seed: int,
    ) -> None:
        """Start live mode with a model, change its options, or end it without one."""
        if spec is not None and layer is not None and isinstance(labels, Labels):
            self.live.begin(layer, labels, spec, features_from, seed)
        elif self.live.on:
            self.end()
            self._tool.preview.remove()
            self._tool.say("")

    def end(self) -> None:
        """End live mode."""
        self.live.end()
        self.bar.hide()

    def _say(self, message: str) -> None:
        if not self._tool.running:
            self._tool.say(message)

    def _on_started(self) -> None:
        if self._tool.preview.layer is None:
            self.bar.show()
            self._say(_FITTING)

    def _on_predicted(self, prediction: LivePrediction) -> None:
        tool = self._tool
        self.bar.hide()
        if prediction.layer not in tool.viewer.layers or not self.live.on:
            return
        image = image_of(prediction.layer)
        plane = np.zeros((image.length("Y"), image.length("X")), np.uint8)
        plane[prediction.box] = prediction.classes
        if self.live.same_plane(prediction):
            look = labels_look(prediction.labels, prediction.last_class)
            tool.preview.show(prediction.layer, plane, name="live preview", **look)
            self._say(_FITTED)

    def _on_refused(self, sentence: str) -> None:
        self.bar.hide()
        self._tool.preview.remove()
        self._say(sentence)


__all__ = ["LiveRow"]
