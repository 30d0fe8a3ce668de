"""The Background dock: fit of a smooth surface to the background, and its removal."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.colormaps import Colormap
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QWidget

from napari_unetseg.core.background import Background, BackgroundOptions, fit_background
from napari_unetseg.core.image import Image
from napari_unetseg.core.progress import Progress, part
from napari_unetseg.gui.shared.form import labelled_rows
from napari_unetseg.gui.shared.layer_choice import LayerChoice
from napari_unetseg.gui.shared.layers import (
    FLATTENED,
    SURFACE,
    find_layer,
    image_of,
    index_along,
    is_input,
    labels_of,
    labels_over,
    plane_image,
    role_of,
    show_image,
    take_hidden,
)
from napari_unetseg.gui.shared.preview_tool import PreviewTool
from napari_unetseg.gui.shared.task import Latest, Work
from napari_unetseg.gui.shared.tool import check_button

_VIEWS = ("Before", "After", "Surface", "Residual")
_FLAT = "After, Surface and Residual show one plane: turn the view back to 2D."
_AT_SIGHT = 2
"""Views whose buttons are at first sight; the others are under More."""
_VIEW_HELP = {
    "Before": "The original image.",
    "After": "The flattened plane: the surface is removed.",
    "Surface": "The surface fitted to the visible plane.",
    "Residual": "Image minus surface; blue below, orange above. A good fit leaves no slow waves.",
}
_IGNORING = {
    "bright": "bright objects",
    "dark": "dark objects",
    "both": "bright and dark objects",
    "none": "nothing",
}
# Blue below, orange above (safe for colour blindness), black at zero.
_DIVERGING = Colormap(["#56b4e9", "#000000", "#e69f00"], name="unetseg residual")


@dataclass(frozen=True, eq=False)
class _Flattened:
    """A flattened image, its surface, and their inputs.

    Parameters
    ----------
    image, surface
        float32, of the image's grey shape.
    facts
        Facts of the fit; see `Background.describe`.
    left_out
        Name of the labels that were left out, or ``""``.
    """

    image: Any
    surface: Any
    facts: dict[str, Any]
    options: BackgroundOptions
    left_out: str


class BackgroundWidget(PreviewTool[BackgroundOptions]):
    """Fit a polynomial surface to the background; subtract it or divide by it.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Background"
    help_text = "Correct uneven light: fit a smooth surface to the background and remove it."
    run_text = "Flatten"
    run_help = "Fit every plane and show the flattened image in a layer."

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(napari_viewer, BackgroundOptions())
        self._view = "Before"
        self._done: tuple[Layer, BackgroundOptions] | None = None
        self._warm = Latest(self)
        self.exclude = LayerChoice(
            self.viewer,
            lambda layer: isinstance(layer, Labels) and is_input(layer),
            follow=lambda layer: False,
            nothing="nothing",
            images=True,
        )
        self.exclude.setObjectName("exclude")
        self.exclude.picked.connect(self.look_later)
        self._views = QButtonGroup(self)
        self.assemble(
            extras=[self._row_of_views(range(_AT_SIGHT))],
            more=[
                ("Check the fit", self._row_of_views(range(_AT_SIGHT, len(_VIEWS)))),
                ("Labels to leave out of the fit", labelled_rows(("Leave out", self.exclude))),
            ],
        )
        self._views.idClicked.connect(lambda number: self.set_view(_VIEWS[number]))

    @classmethod
    def accepts(cls, layer: Layer) -> bool:
        return super().accepts(layer) and role_of(layer) != FLATTENED

    def _row_of_views(self, numbers: range) -> QWidget:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(2)
        for number in numbers:
            view = _VIEWS[number]
            button = QPushButton(view)
            button.setCheckable(True)
            button.setToolTip(_VIEW_HELP[view])
            button.setChecked(view == self._view)
            self._views.addButton(button, number)
            line.addWidget(button)
        return row

    def set_view(self, view: str) -> None:
        """Show the original, the flattened plane, the surface or the residual."""
        self._view = view
        check_button(self._views, _VIEWS.index(view))
        self.look_later()

    def whole_axes(self) -> str:
        return "YX" if self.form.options.per == "plane" else "ZYX"

    def work(self, layer: Layer, options: BackgroundOptions) -> Work:
        image = image_of(layer)
        exclude, labels = self._excluded(), self.exclude.layer()
        left_out = "" if labels is None else labels.name

        def work(progress: Progress) -> _Flattened:
            made = _flatten(image, options, exclude, progress)
            return _Flattened(*made, options, left_out)

        return work

    def show_result(self, layer: Layer, options: BackgroundOptions, result: _Flattened) -> str:
        facts = result.facts
        provenance = {**result.options.model_dump(), "fit": facts, "left_out": result.left_out}
        layers = self.viewer.layers
        show_image(
            layers,
            layer,
            SURFACE,
            result.surface,
            name=f"{layer.name} surface",
            options=provenance,
            visible=False,
        )
        shown = show_image(
            layers,
            layer,
            FLATTENED,
            result.image,
            name=f"{layer.name} flattened",
            options=provenance,
        )
        self._done = (layer, result.options)
        self.set_view("After")
        layers.selection.active = shown
        return _summary(facts)

    def layer_changed(self, layer: Layer | None) -> None:
        super().layer_changed(layer)
        if layer is not None:
            grey, options = image_of(layer).grey(), self.form.options
            self.form.show_only({"per": bool(grey.loop_shape()), "channel": bool(layer.rgb)})
            # The first fit of a dtype compiles for seconds: start now.
            self._warm.ask(lambda progress: _warm_up(grey.dtype, options))

    def options_changed(self, options: BackgroundOptions) -> None:
        if self._view == "Before":
            self.set_view("After")
        super().options_changed(options)

    def hidden(self) -> None:
        super().hidden()
        # The button Surface shows it again.
        take_hidden(self.viewer.layers, SURFACE)

    def close_tool(self) -> None:
        if not self._closed:
            self.exclude.close_events()
        super().close_tool()

    def look(self, layer: Layer) -> None:
        flattened = find_layer(self.viewer.layers, FLATTENED, layer)
        if flattened is not None:
            flattened.visible = self._view != "Before"
        stands = self._view == "After" and self._done == (layer, self.form.options)
        index = self.preview.plane(layer)
        if self._view == "Before" or stands or index is None:
            self.latest.forget()
            self.preview.remove()
            if self._view != "Before" and index is None and not stands:
                self.say(_FLAT, problem=True)
            else:
                self.unsay()
            return
        image, options, view = image_of(layer), self.form.options, self._view
        mask = self._excluded(index_along(layer, image.axes.replace("C", ""), index))
        at = index_along(layer, image.grey().axes, index)
        self.latest.ask(lambda progress: (layer, view, _plane(image, at, options, mask, view)))

    def looked(self, answer: tuple[Layer, str, Any]) -> None:
        layer, view, plane = answer
        if layer != self.pick.layer() or layer not in self.viewer.layers or view != self._view:
            return
        self.preview.show(layer, plane, name="background preview", **_look(view, plane))
        self.unsay()

    def _excluded(self, index: tuple[int, ...] = ()) -> Any:
        """Return the mask of the chosen labels, of one plane if its index is given."""
        labels, layer = self.exclude.layer(), self.pick.layer()
        if labels is None:
            return None
        ids = labels_of(labels) if layer is None else labels_over(labels, layer)
        # Labels with fewer axes than the image apply to each of its planes.
        return ids[index[len(index) - (ids.ndim - 2) :]] > 0 if index else ids > 0


def _warm_up(dtype: Any, options: BackgroundOptions) -> None:
    """Compile the code of a fit to data of `dtype`."""
    ramp = Image.of((np.indices((64, 64)).sum(0) % 97).astype(dtype))
    _plane(ramp, (), options, None, "After")


def _flatten(
    image: Image, options: BackgroundOptions, exclude: Any, progress: Progress
) -> tuple[Any, Any, dict[str, Any]]:
    background: Background = fit_background(
        image, options, exclude=exclude, progress=part(progress, 0, 0.7)
    )
    progress(0.7, "removing the surface")
    flattened = background.flatten(image)
    progress(0.9, "computing the surface")
    return flattened.data, background.surface().data, background.describe()


def _plane(
    image: Image, index: tuple[int, ...], options: BackgroundOptions, mask: Any, view: str
) -> Any:
    """Return the picture of a view of one plane: (Y, X) float32."""
    plane = plane_image(image, index)
    flat = options.model_copy(update={"per": "plane"})
    background = fit_background(plane, flat, exclude=mask)
    made = {
        "After": background.flatten,
        "Surface": lambda _: background.surface(),
        "Residual": background.residual,
    }[view](plane)
    return made.asarray()


def _look(view: str, plane: Any) -> dict[str, Any]:
    finite = plane[np.isfinite(plane)]
    if view == "Residual":
        reach = float(np.percentile(np.abs(finite), 99)) or 1.0
        return {"colormap": _DIVERGING, "contrast_limits": (-reach, reach)}
    low, high = (float(np.percentile(finite, share)) for share in (0.1, 99.9))
    colormap = "viridis" if view == "Surface" else "gray"
    return {"colormap": colormap, "contrast_limits": (low, high if high > low else low + 1)}


def _summary(facts: dict[str, Any]) -> str:
    before, after = (100 * facts[f"flatness_{when}"] for when in ("before", "after"))
    surface = facts["surfaces"][0]
    n = len(surface["terms"])
    shape = "a smooth surface" if surface["stiffness"] else f"{n} term{'s' * (n != 1)}"
    found = ""
    if facts["robust"] == "auto":
        kinds = " or ".join(_IGNORING[kind] for kind in facts["ignored"])
        found = f", ignoring {kinds} (found in the image)"
    after_all = facts["warning"] or "Next: Threshold."
    return (
        f"Flattened with {shape}{found}. Background variation: {before:.1f} % of the "
        f"intensity range before, {after:.1f} % after. {after_all}"
    )
