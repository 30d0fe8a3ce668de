"""The Background dock: fit a smooth surface to the background and take it away."""

from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from napari.utils.colormaps import Colormap
from napari.utils.events import disconnect_events
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QWidget

from napari_unetseg.core.background import Background, BackgroundOptions, fit_background
from napari_unetseg.core.image import Image
from napari_unetseg.core.progress import Progress, part
from napari_unetseg.gui.layers import find, image_of, labels_of, plane_image, role_of, show_image
from napari_unetseg.gui.pick import LayerPick
from napari_unetseg.gui.preview import Preview, is_preview
from napari_unetseg.gui.task import Latest, Work
from napari_unetseg.gui.tool import Tool, check

FLATTENED = "flattened"
SURFACE = "surface"
_OURS = (FLATTENED, SURFACE)
_VIEWS = ("Before", "After", "Surface", "Residual")
_VIEW_HELP = {
    "Before": "The image as it is.",
    "After": "The visible plane with the surface taken away.",
    "Surface": "The surface fitted to the visible plane.",
    "Residual": "Image minus surface: blue below, orange above. A good fit leaves no slow waves.",
}
_PREVIEW_WAIT_MS = 150
# Blue below, orange above: told apart by colour-blind eyes, and black where nothing is left.
_DIVERGING = Colormap(["#56b4e9", "#000000", "#e69f00"], name="unetseg residual")


class BackgroundWidget(Tool[BackgroundOptions]):
    """Fit a polynomial surface to the background; subtract it or divide by it.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Background"
    help_text = "Even out the light: fit a smooth surface to the background and take it away."
    run_text = "Flatten"
    run_help = "Fit every plane and put the flattened image into a layer."

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        self._views = QButtonGroup()
        self._view = "Before"
        self._done: tuple[Layer, BackgroundOptions] | None = None
        super().__init__(napari_viewer, BackgroundOptions())
        self._preview = Preview(self.viewer)
        self._warm = Latest(self)
        self._latest = Latest(self)
        self._latest.answered.connect(self._on_preview)
        self._latest.refused.connect(self._on_refused)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PREVIEW_WAIT_MS)
        self._timer.timeout.connect(self._ask_preview)
        self.viewer.dims.events.current_step.connect(self._later)
        self.viewer.dims.events.ndisplay.connect(self._later)
        self.layer_changed(self.pick.layer())

    def accepts(self, layer: Layer) -> bool:
        return (
            isinstance(layer, ImageLayer) and role_of(layer) not in _OURS and not is_preview(layer)
        )

    def rows(self) -> list[tuple[str, QWidget]]:
        self.exclude = LayerPick(
            self.viewer,
            lambda layer: isinstance(layer, Labels),
            follow=lambda layer: False,
            nothing="nothing",
        )
        self.exclude.setObjectName("exclude")
        self.exclude.picked.connect(self._later)
        return [("Leave out", self.exclude)]

    def extras(self) -> list[QWidget]:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(2)
        self._views = QButtonGroup(row)
        for number, view in enumerate(_VIEWS):
            button = QPushButton(view)
            button.setCheckable(True)
            button.setToolTip(_VIEW_HELP[view])
            button.setChecked(view == self._view)
            self._views.addButton(button, number)
            line.addWidget(button)
        self._views.idClicked.connect(lambda number: self.set_view(_VIEWS[number]))
        return [row]

    def set_view(self, view: str) -> None:
        """Show the image before, after, the surface or the residual, on the visible plane."""
        self._view = view
        check(self._views, _VIEWS.index(view))
        self._later()

    def work(self, layer: Layer, options: BackgroundOptions) -> Work:
        image = image_of(layer)
        exclude = self._excluded()
        return lambda progress: _flatten(image, options, exclude, progress)

    def show_result(
        self, layer: Layer, options: BackgroundOptions, result: tuple[Any, Any, dict[str, Any]]
    ) -> str:
        flattened, surface, facts = result
        said = {**options.model_dump(), "fit": facts}
        layers = self.viewer.layers
        show_image(
            layers,
            layer,
            SURFACE,
            surface,
            name=f"{layer.name} surface",
            options=said,
            visible=False,
        )
        shown = show_image(
            layers, layer, FLATTENED, flattened, name=f"{layer.name} flattened", options=said
        )
        self._done = (layer, options)
        self.set_view("After")
        layers.selection.active = shown
        return _summary(facts)

    def layer_changed(self, layer: Layer | None) -> None:
        self._preview.remove()
        if layer is not None:
            several = bool(image_of(layer).grey().loop_shape())
            self.form.show_only({"per": several, "channel": bool(layer.rgb)})
            # The first fit of a kind of numbers compiles for seconds: begin while the user looks.
            dtype, options = image_of(layer).grey().dtype, self.form.options
            self._warm.ask(lambda progress: _warm_up(dtype, options))
        self._later()

    def options_changed(self, options: BackgroundOptions) -> None:
        if self._view == "Before":
            self.set_view("After")
        self._later()

    def shown(self) -> None:
        self._later()

    def hidden(self) -> None:
        self._latest.forget()
        self._preview.remove()

    def close_tool(self) -> None:
        if not self._closed:
            self.exclude.close_events()
            disconnect_events(self.viewer.dims.events, self)
            self.hidden()
        super().close_tool()

    def _excluded(self) -> Any:
        labels = self.exclude.layer()
        return None if labels is None else labels_of(labels) != 0

    def _later(self, event: object = None) -> None:
        if not self._closed:
            self._timer.start()

    def _ask_preview(self) -> None:
        layer = self.pick.layer()
        if layer is not None and self.isVisible():
            self._show_flattened(layer)
        wanted = self.isVisible() and layer is not None and self._view != "Before"
        if self._view == "After" and self._done == (layer, self.form.options):
            wanted = False
        index = self._preview.plane(layer) if layer is not None and wanted else None
        if layer is None or index is None:
            self._latest.forget()
            self._preview.remove()
            return
        image = image_of(layer)
        options, view, exclude = self.form.options, self._view, self.exclude.layer()
        mask = None
        if exclude is not None:
            data = exclude.data[0] if exclude.multiscale else exclude.data
            mask = np.array(data[index[len(index) - (data.ndim - 2) :]]) != 0
        self._latest.ask(lambda progress: (layer, view, _plane(image, index, options, mask, view)))

    def _show_flattened(self, layer: Layer) -> None:
        flattened = find(self.viewer.layers, FLATTENED, layer)
        if flattened is not None:
            flattened.visible = self._view != "Before"

    def _on_preview(self, answer: tuple[Layer, str, Any]) -> None:
        layer, view, plane = answer
        if layer != self.pick.layer() or layer not in self.viewer.layers or view != self._view:
            return
        self._preview.show(layer, plane, name="background preview", **_look(view, plane, layer))
        self.say("")


def _warm_up(dtype: Any, options: BackgroundOptions) -> None:
    """Compile what a fit to numbers of `dtype` runs."""
    ramp = Image.of((np.indices((64, 64)).sum(0) % 97).astype(dtype))
    _plane(ramp, (), options, None, "After")


def _flatten(
    image: Image, options: BackgroundOptions, exclude: Any, progress: Progress
) -> tuple[Any, Any, dict[str, Any]]:
    background: Background = fit_background(
        image, options, exclude=exclude, progress=part(progress, 0, 0.7)
    )
    progress(0.7, "taking the surface away")
    flattened = background.flatten(image)
    progress(0.9, "drawing the surface")
    return flattened.data, background.surface().data, background.describe()


def _plane(
    image: Image, index: tuple[int, ...], options: BackgroundOptions, mask: Any, view: str
) -> Any:
    """Return what `view` shows of one plane: (Y, X) float32."""
    plane = plane_image(image, index)
    flat = options.model_copy(update={"per": "plane"})
    background = fit_background(plane, flat, exclude=mask)
    made = {
        "After": background.flatten,
        "Surface": lambda _: background.surface(),
        "Residual": background.residual,
    }[view](plane)
    return made.asarray()


def _look(view: str, plane: Any, layer: Layer) -> dict[str, Any]:
    finite = plane[np.isfinite(plane)]
    if view == "Residual":
        reach = float(np.percentile(np.abs(finite), 99)) or 1.0
        return {"colormap": _DIVERGING, "contrast_limits": (-reach, reach)}
    low, high = (float(np.percentile(finite, share)) for share in (0.1, 99.9))
    colormap = "viridis" if view == "Surface" else "gray"
    return {"colormap": colormap, "contrast_limits": (low, high if high > low else low + 1)}


def _summary(facts: dict[str, Any]) -> str:
    before, after = (100 * facts[f"flatness_{when}"] for when in ("before", "after"))
    count = len(facts["surfaces"][0]["terms"])
    return (
        f"Flattened with {count} terms. The background wavered by {before:.1f} % of the image's "
        f"range; now {after:.1f} %. Next: Threshold."
    )
