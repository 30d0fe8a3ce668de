"""The Features dock: feature maps of a network's layers, and patterns that excite a channel."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Layer, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QToolButton, QWidget

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io.figure import to_grey
from napari_unetseg.core.model.network_specs import ConvolutionalSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.progress import Progress, part
from napari_unetseg.gui.shared.layers import (
    FEATURE_MAPS,
    axes_of,
    find_layer,
    image_of,
    marked,
    reduced_geometry,
)
from napari_unetseg.gui.shared.model_choice import ModelChoice
from napari_unetseg.gui.shared.task import Latest, Work
from napari_unetseg.gui.shared.tool import Tool

PATCH_SIDE = 64
"""Side of a shown patch in pixels of the image."""

_COLUMNS, _SHOWN_SIDE = 3, 76


class FeatureOptions(Options):
    """Options for showing a layer of a network."""

    show: Literal["feature maps", "what excites a channel"] = option(
        "feature maps",
        "Show",
        "Feature maps: the activations of every channel of the layer on the plane on screen, as "
        "small pictures; click one to put it over the image. What excites a channel: a synthetic "
        "pattern that maximises its response, and the image patches with the strongest response.",
    )
    channel: int = option(
        0,
        "Channel",
        "Channel of the layer, counted from 0.",
        when={"show": ("what excites a channel",)},
        ge=0,
        le=65535,
    )
    places: int = option(
        7,
        "Places",
        "Number of image patches to show.",
        when={"show": ("what excites a channel",)},
        ge=1,
        le=23,
        advanced=True,
    )
    steps: int = option(
        120,
        "Steps",
        "Steps of gradient ascent for the pattern.",
        when={"show": ("what excites a channel",)},
        ge=10,
        le=5000,
        advanced=True,
    )
    smooth: float = option(
        0.1,
        "Smoothness",
        "Penalty on rough and extreme patterns. Low values give fine patterns that no microscope "
        "shows; with high values the pattern stays grey.",
        when={"show": ("what excites a channel",)},
        ge=0,
        le=10,
        step=0.05,
        advanced=True,
    )


@dataclass(frozen=True, eq=False)
class _Maps:
    """Feature maps of a plane, their model, and the index of the plane."""

    model: TrainedModel
    found: Any
    index: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Excited:
    """The exciting pattern of a channel, and the image patches with their positions."""

    layer: str
    channel: int
    drawn: Any
    patches: list[NDArray[np.float32]]
    places: list[tuple[tuple[int, ...], float]]
    index: tuple[int, ...]


class FeaturesWidget(Tool[FeatureOptions]):
    """Look inside a trained network.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Features"
    help_text = (
        "Look inside a trained UNet or CNN: the activations of its layers on the plane on screen."
    )
    run_text = "Show"
    run_help = "Compute it for the plane on screen. The image is not changed."

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(napari_viewer, FeatureOptions())
        self._reading = Latest(self)
        self._reading.answered.connect(self._on_layers)
        self._reading.refused.connect(self.say_error)
        self.models = ModelChoice()
        self.models.setToolTip("A UNet or CNN: trained in this session, loaded or shipped.")
        self.models.currentIndexChanged.connect(lambda: self._read_layers())
        self.layers = QComboBox()
        self.layers.setObjectName("layer")
        self.layers.setPlaceholderText("reading the model...")
        self.layers.setToolTip(
            "Down: the encoder, from fine to coarse, with growing receptive field. Up: the "
            "decoder. Evidence: the class scores."
        )
        self.layers.currentIndexChanged.connect(lambda: self._bound_channel())
        self.sheet = QWidget()
        self.sheet.setObjectName("sheet")
        self._cells = QGridLayout(self.sheet)
        self._cells.setContentsMargins(0, 0, 0, 0)
        self.sheet.hide()
        self.assemble(rows=[("Model", self.models), ("Layer", self.layers)], results=[self.sheet])
        self.session.models_changed.connect(self._fill_models)
        self._fill_models()

    def work(self, layer: Layer, options: FeatureOptions) -> Work:
        model, name = self.models.chosen(), self.layers.currentData()
        if model is None or name is None:
            raise InputError("Train a UNet or CNN first, or load one: see Train and Models.")
        image, index = self._shown(layer, model)
        if options.show == "feature maps":
            return lambda progress: _mapped(model, image, name, index, progress)
        return lambda progress: _excited(model, image, name, options, index, progress)

    def show_result(self, layer: Layer, options: FeatureOptions, result: Any) -> str:
        if isinstance(result, _Maps):
            return self._show_maps(layer, result)
        return self._show_excited(layer, result)

    def layer_changed(self, layer: Layer | None) -> None:
        super().layer_changed(layer)
        self.models.fit_to(layer)

    def shown(self) -> None:
        if self.layers.count() == 0:
            self._read_layers()

    def close_tool(self) -> None:
        if not self._closed:
            self.session.models_changed.disconnect(self._fill_models)
            self._reading.forget()
        super().close_tool()

    def _shown(self, layer: Layer, model: TrainedModel) -> tuple[Image, tuple[int, ...]]:
        """Return the plane on screen or its stack, read into memory, and its index.

        It has all channels, whichever is on screen.
        """
        image, index = image_of(layer), self.preview.plane(layer)
        if index is None:
            raise InputError(
                "The view does not show a plane of the image's last two axes. Turn the view back "
                "to 2D."
            )
        spatial = "ZYX"[-model.ndim :]
        if any(axis not in image.axes for axis in spatial):
            raise InputError(
                f"{model.name!r} was trained on stacks, but the image has no Z axis. Choose a "
                "stack, or a model trained on planes."
            )
        axes = axes_of(layer)
        at = dict(zip((axis for axis in axes if axis not in "YX"), index, strict=True))
        block = "".join(axis for axis in image.axes if axis in "C" + spatial)
        spots = tuple(at[axis] for axis in image.axes if axis not in block)
        names = image.channel_names if "C" in block else ()
        numbers = image.block(spots, block)
        read = image.like(numbers, block, rgb=image.rgb, channel_names=names)
        return read, tuple(at[axis] for axis in axes if axis not in spatial)

    def _show_maps(self, layer: Layer, result: _Maps) -> str:
        """Show the maps as small pictures."""
        found = result.found
        ndim = len(found.layer.step)
        self._clear_sheet()
        for number, values in enumerate(found.maps):
            self._add_map(number, _flat(_reduced(values)[None]), layer, result)
        self.sheet.show()
        each = " x ".join(map(str, found.layer.step))
        silent = int((found.maps.reshape(len(found.maps), -1).max(1) <= 0).sum())
        quiet = f" {silent} of them are zero here." if silent else ""
        return (
            f"{found.layer.channels} maps of {found.layer.name}, one value per {each} "
            f"{'voxels' if ndim == 3 else 'pixels'}. Click one to put it over the image.{quiet}"
        )

    def _add_map(
        self, number: int, picture: NDArray[np.uint8], layer: Layer, result: _Maps
    ) -> None:
        """Add the small picture of a map; a click shows its layer."""
        button = QToolButton()
        button.setAutoRaise(True)
        button.setIcon(QIcon(_pixmap(picture)))
        button.setIconSize(QSize(_SHOWN_SIDE, _SHOWN_SIDE))
        button.setText(str(number))
        button.setToolTip(f"Channel {number} of {result.found.layer.name}: show it as a layer.")
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.clicked.connect(lambda: self.show_map(layer, result, number))
        row, column = divmod(number, _COLUMNS)
        self._cells.addWidget(button, row, column)

    def show_map(self, layer: Layer, result: _Maps, number: int) -> None:
        """Put one feature map over its image, as a layer that the next one replaces."""
        found, layers = result.found, self.viewer.layers
        if layer not in layers:
            self.say("The image of these maps was removed. Choose another and press Show.")
            return
        lead = (1,) * len(result.index)
        data = found.maps[number].reshape(*lead, *found.maps.shape[1:])
        details = {"layer": found.layer.name, "model": result.model.name, "channel": number}
        look = {
            "name": f"{layer.name} {found.layer.name} {number}, {result.model.name}",
            "metadata": marked(FEATURE_MAPS, layer, details),
            **reduced_geometry(layer, found.layer.step, result.index, channels=False),
        }
        old, colours = find_layer(layers, FEATURE_MAPS, layer), "gray"
        if old is not None:
            colours = old.colormap.name
            if self.session.may_replace(old):
                layers.remove(old)
        made = ImageLayer(data, colormap=colours, **look)
        # On top, where it is seen.
        layers.append(made)
        layers.selection.active = layer

    def _show_excited(self, layer: Layer, result: _Excited) -> str:
        self._clear_sheet()
        pictures = [("drawn", _flat(result.drawn.picture))]
        pictures += [
            (f"{answer:.3g}", _flat(patch))
            for patch, (_, answer) in zip(result.patches, result.places, strict=True)
        ]
        for number, (caption, picture) in enumerate(pictures):
            self._add_picture(number, caption, picture)
        self.sheet.show()
        self._mark_places(layer, result)
        return (
            f"Channel {result.channel} of {result.layer}: synthetic pattern that excites this "
            f"channel ({result.drawn.before:.3g} to {result.drawn.after:.3g}), and the image "
            "patches with the strongest response, framed in the image."
        )

    def _mark_places(self, layer: Layer, result: _Excited) -> None:
        role = f"{FEATURE_MAPS} places"
        layers = self.viewer.layers
        old = find_layer(layers, role, layer)
        if old is not None:
            layers.remove(old)
        image = image_of(layer)
        ends = [image.length(axis) for axis in "YX"]
        frames = []
        for place, _ in result.places:
            (y, y_end), (x, x_end) = map(_frame, place[-2:], ends)
            depth = result.index if len(place) == 2 else (*result.index, place[0])
            corners = [(y, x), (y, x_end), (y_end, x_end), (y_end, x)]
            frames.append([(*depth, *corner) for corner in corners])
        details = {"layer": result.layer, "channel": result.channel}
        if frames:
            made = Shapes(
                frames,
                shape_type="polygon",
                ndim=layer.ndim,
                edge_color="yellow",
                face_color="transparent",
                edge_width=1.5,
                name=f"{layer.name} {result.layer} {result.channel}",
                metadata=marked(role, layer, details),
                **reduced_geometry(layer, (1,) * layer.ndim, (), channels=False),
            )
            layers.append(made)
            layers.selection.active = layer

    def _add_picture(self, number: int, caption: str, picture: NDArray[np.uint8]) -> None:
        shown, words = QLabel(), QLabel(caption)
        shown.setPixmap(_pixmap(picture))
        row, column = divmod(number, _COLUMNS)
        self._cells.addWidget(shown, 2 * row, column)
        self._cells.addWidget(words, 2 * row + 1, column)

    def _clear_sheet(self) -> None:
        while (cell := self._cells.takeAt(0)) is not None:
            widget = cell.widget()
            if widget is not None:
                widget.deleteLater()

    def _fill_models(self) -> None:
        before = self.models.currentData()
        able = [m for m in self.session.models if isinstance(m.spec, ConvolutionalSpec) and m.state]
        self.models.fill(able, before="" if able else "none yet: train or load a UNet or CNN")
        wanted = self.session.next_choice(before)
        if wanted is not None:
            self.models.choose(wanted)
        if self.models.currentData() is not before or before is None:
            self._read_layers()

    def _read_layers(self) -> None:
        """Read the layers of the chosen model in another thread, which may import torch."""
        model = self.models.chosen()
        if model is None:
            self.layers.clear()
        elif self.isVisible():
            self._reading.ask(lambda progress: _layers(model))

    def _on_layers(self, layers: Any) -> None:
        kept = self.layers.currentData()
        with QSignalBlocker(self.layers):
            self.layers.clear()
            for facts in layers:
                self.layers.addItem(f"{facts.name} ({facts.channels} channels)", facts.name)
                self.layers.setItemData(self.layers.count() - 1, facts.channels, _CHANNELS)
            self.layers.setCurrentIndex(max(self.layers.findData(kept), 0))
        self._bound_channel()

    def _bound_channel(self) -> None:
        channels = self.layers.currentData(_CHANNELS)
        if channels:
            widget: Any = self.form.widget("channel")
            widget.value = min(widget.value, channels - 1)
            widget.max = channels - 1


_CHANNELS = 0x0101  # Qt.UserRole + 1, which the two bindings spell differently


def _layers(model: TrainedModel) -> Any:
    from napari_unetseg.core.nn.inference.feature_maps import list_layers

    return list_layers(model)


def _mapped(
    model: TrainedModel, image: Image, name: str, index: tuple[int, ...], progress: Progress
) -> _Maps:
    from napari_unetseg.core.nn.inference.feature_maps import feature_maps

    return _Maps(model, feature_maps(model, image, name, progress=progress), index)


def _excited(
    model: TrainedModel,
    image: Image,
    name: str,
    options: FeatureOptions,
    index: tuple[int, ...],
    progress: Progress,
) -> _Excited:
    from napari_unetseg.core.nn.inference.excite import excite
    from napari_unetseg.core.nn.inference.feature_maps import feature_maps, patches_of

    found = feature_maps(model, image, name, progress=part(progress, 0, 0.3))
    how: dict[str, Any] = {"steps": options.steps, "smooth": options.smooth}
    rest = part(progress, 0.3, 1)
    drawn = excite(model, name, options.channel, side=PATCH_SIDE, progress=rest, **how)
    places = found.most_excited(options.channel, options.places, PATCH_SIDE)
    grey = image.grey().asarray()
    planes = grey if grey.ndim == len(found.layer.step) else grey.mean(0)
    patches = []
    for place, _ in places:
        plane = planes if planes.ndim == 2 else planes[min(place[0], len(planes) - 1)]
        patches += patches_of(plane[None].astype(np.float32), [place[-2:]], PATCH_SIDE)
    return _Excited(name, options.channel, drawn, patches, places, index)


def _pixmap(picture: NDArray[np.uint8]) -> QPixmap:
    """Return a grey picture (Y, X) as it is shown in the dock."""
    height, width = picture.shape
    raw = np.ascontiguousarray(picture).tobytes()
    image = QImage(raw, width, height, width, QImage.Format.Format_Grayscale8)
    return QPixmap.fromImage(image.copy()).scaledToWidth(_SHOWN_SIDE)


def _reduced(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return every n-th value of a map (*spatial), as many as a small picture shows."""
    step = max(1, min(values.shape[-2:]) // (2 * _SHOWN_SIDE))
    return values[..., ::step, ::step]


def _frame(middle: int, length: int) -> tuple[float, float]:
    """Return the start and end of a patch's frame along an axis, within the image."""
    start = middle - PATCH_SIDE // 2
    return max(start, 0) - 0.5, min(start + PATCH_SIDE, length) - 0.5


def _flat(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Convert a picture (C, *spatial) to grey levels (Y, X): mean channel, middle plane."""
    grey = picture.mean(0)
    plane = grey if grey.ndim == 2 else grey[len(grey) // 2]
    return np.asarray(to_grey(plane))


__all__ = ["FeatureOptions", "FeaturesWidget"]
