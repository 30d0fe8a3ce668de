"""The layers of the guided tour, and its access to the tools of the Workbench."""

from typing import Any

from napari.layers import Labels, Layer

from napari_unetseg.gui.shared.layers import (
    FLATTENED,
    MASK,
    MEASURED,
    OBJECTS,
    find_layer,
    options_of_layer,
    source_of_layer,
)
from napari_unetseg.gui.shared.session import Session, unwrapped
from napari_unetseg.gui.shared.training_layers import PREDICTED_OBJECTS
from napari_unetseg.gui.workbench.start_page import PLUGIN

NAME = "tour: nuclei"


class Stage:
    """The layers of the tour, separate from those of the user, and the tools.

    Parameters
    ----------
    viewer
        The napari viewer, or its plugin proxy.
    """

    def __init__(self, viewer: Any) -> None:
        self.viewer = unwrapped(viewer)
        self.session = Session.of(self.viewer)
        self._image: Layer | None = None
        self._used: dict[str, Any] = {}

    @property
    def image(self) -> Layer | None:
        """The sample's image, while it is in the viewer."""
        return self._image if self._image in self.viewer.layers else None

    @property
    def flattened(self) -> Layer | None:
        """The flattened image of the sample."""
        return self._made((FLATTENED,), self.image)

    @property
    def drawn(self) -> Labels | None:
        """The labels of the threshold."""
        made = self._made((OBJECTS, MASK), self.flattened, self.image)
        return made if isinstance(made, Labels) else None

    @property
    def predicted(self) -> Labels | None:
        """The labels of the model."""
        made = self._made((PREDICTED_OBJECTS,), self.image, self.flattened)
        return made if isinstance(made, Labels) else None

    def corrected(self) -> bool:
        """Whether the user corrected the labels of the threshold."""
        labels = self.drawn
        return labels is not None and bool(self.session.locks(labels).pixels())

    def measured(self) -> bool:
        """Whether labels of the tour were measured."""
        made = (self.predicted, self.drawn)
        return any(bool(options_of_layer(one, MEASURED)) for one in made if one is not None)

    def open_sample(self) -> None:
        """Add the sample's image once, beside other layers."""
        if self.image is None:
            from napari_unetseg.gui.workbench.sample_data import nuclei_layers

            data, look, kind = nuclei_layers()[-1]
            layer = Layer.create(data, {**look, "name": NAME}, kind)
            self.viewer.add_layer(layer)
            self._image = layer
            self.viewer.reset_view()
        self.viewer.layers.selection.active = self.image

    def remove_layers(self) -> None:
        """Remove the sample and all layers made from it."""
        for layer in reversed(self.layers()):
            self.viewer.layers.remove(layer)

    def layers(self) -> list[Layer]:
        """List the sample and all layers made from it, each after its source."""
        image = self.image
        ours = [] if image is None else [image]
        for one in ours:
            source_id = str(one.unique_id)
            ours += [
                made
                for made in self.viewer.layers
                if source_of_layer(made) == source_id and made not in ours
            ]
        return ours

    def tool(self, title: str) -> Any:
        """Show a tool in the Workbench, which is opened if needed."""
        if self.session.workbench is None:
            self.viewer.window.add_plugin_dock_widget(PLUGIN, "Workbench")
        workbench = self.session.workbench
        if workbench is None:
            raise RuntimeError("The Workbench is not registered in its session.")
        workbench.open_tool(title)
        tool = next(tool for tool in workbench.tools if tool.title == title)
        self._used[title] = tool
        tool.memory.hold()
        return tool

    def leave_tools(self) -> None:
        """Restore the user's options of the tools."""
        for tool in self._used.values():
            tool.memory.release()
        self._used.clear()

    def _made(self, roles: tuple[str, ...], *sources: Layer | None) -> Layer | None:
        layers = self.viewer.layers
        found = (find_layer(layers, role, one) for one in sources if one for role in roles)
        return next((layer for layer in found if layer is not None), None)


__all__ = ["NAME", "Stage"]
