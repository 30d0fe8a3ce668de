"""Controls of the mode in which objects are clicked."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QProgressBar,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_unetseg.gui.correct.click_objects import ObjectClicks
from napari_unetseg.gui.correct.tool_panel import KeyButton
from napari_unetseg.gui.shared.dock_help import text_button
from napari_unetseg.gui.shared.layer_choice import LayerChoice

CLICK_KEY = "Q"

_HELP = (
    "Outline objects by clicking them. Rest the mouse on an object to see the outline that a click "
    "takes. Click what is missing, Ctrl+click it where it is further away, Shift+click what is too "
    "much; drag a box around an object, or Ctrl+drag a stroke along it. Enter or a click on the "
    "next object keeps it, Esc drops it."
)


class ClickPanel(QWidget):
    """The button of the mode and, while it is on, its options.

    Signals
    -------
    toggled()
        The user pressed the button of the mode.
    new_wanted()
        The user wants new labels.

    Parameters
    ----------
    clicks
        The mode.
    image
        The choice of the image to find objects in.
    """

    toggled = Signal()
    new_wanted = Signal()

    def __init__(self, clicks: ObjectClicks, image: LayerChoice) -> None:
        super().__init__()
        self.button = KeyButton("Click objects")
        self.button.clicked.connect(lambda: self.toggled.emit())
        self.button.setObjectName("click objects")
        self.button.setCheckable(True)
        font = self.button.font()
        font.setBold(True)
        self.button.setFont(font)
        self.new_button = text_button(
            "New labels",
            "Add an empty Labels layer over the image, to click objects into.",
            self.new_wanted.emit,
        )
        self.image = image
        self.image.setObjectName("clicked image")
        self.image.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.image.setMinimumWidth(80)
        self.spare = QCheckBox("Do not overwrite objects")
        self.spare.setToolTip(
            "Objects that are there stay as they are, and outlines end at them; a click in one "
            "outlines that object again. Untick to let outlines cover objects that are not locked. "
            "Locked pixels are never covered."
        )
        self.spare.setChecked(True)
        self.keep_button = text_button(
            "Keep (Enter)", "Write the outlined object into the labels, locked.", clicks.keep_soon
        )
        self.drop_button = text_button(
            "Drop (Esc)", "Drop the outlined object; nothing is changed.", clicks.drop
        )
        self.working = QProgressBar()
        self.working.setRange(0, 0)
        self.working.setTextVisible(False)
        self.working.setFixedHeight(6)
        self.options = QWidget()
        self._sections = QVBoxLayout()
        self._lay_out()
        self._clicks = clicks
        self.show_key(bound=False)
        self.spare.toggled.connect(self._on_spare)
        self.image.picked.connect(clicks.image_changed)
        clicks.changed.connect(self.look)
        self.look()

    def add_section(self, widget: QWidget) -> None:
        """Add controls below, which are shown while the mode is on."""
        self._sections.addWidget(widget)

    def look(self) -> None:
        """Show whether the mode is on, something is computed, and an object is in the making."""
        clicks = self._clicks
        pending = clicks.state.current is not None
        self.button.setChecked(clicks.layer is not None)
        self.options.setVisible(clicks.layer is not None)
        # The bar keeps its place, so that nothing below jumps.
        self.working.setRange(0, 0 if clicks.busy else 1)
        self.keep_button.setEnabled(pending)
        self.drop_button.setEnabled(pending or clicks.busy)

    def show_key(self, *, bound: bool) -> None:
        """Show the key of the mode if it is bound."""
        self.button.show_key(CLICK_KEY if bound else "", _HELP)

    def _on_spare(self, on: bool) -> None:
        self._clicks.spare = on

    def _lay_out(self) -> None:
        first = QHBoxLayout()
        first.addWidget(self.button, 1)
        first.addWidget(self.new_button)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Find them in", self.image)
        last = QHBoxLayout()
        last.addWidget(self.keep_button)
        last.addWidget(self.drop_button)
        column = QVBoxLayout(self.options)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(form)
        column.addWidget(self.spare)
        column.addLayout(last)
        column.addWidget(self.working)
        column.addLayout(self._sections)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addLayout(first)
        whole.addWidget(self.options)
        self.options.hide()


__all__ = ["CLICK_KEY", "ClickPanel"]
