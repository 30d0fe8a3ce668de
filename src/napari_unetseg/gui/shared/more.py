"""The rest of a page behind one button, in sections with headings."""

from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QLabel, QToolButton, QVBoxLayout, QWidget

from napari_unetseg.gui.shared.form import Form, heading_label

_MORE, _LESS = "More", "Less"
_HELP = "Show the other options of this page, or hide them."


class More(QWidget):
    """A button that unfolds sections; it is hidden while no section has anything to show."""

    def __init__(self) -> None:
        super().__init__()
        self.button = QToolButton()
        self.button.setCheckable(True)
        self.button.setToolTip(_HELP)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setStyleSheet("QToolButton { border: none; background: transparent; }")
        self.button.toggled.connect(self._on_toggled)
        self._body = QWidget()
        self._column = QVBoxLayout(self._body)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)
        self._sections: list[tuple[QLabel | None, QWidget]] = []
        self._forms: list[Form[Any]] = []
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.button)
        column.addWidget(self._body)
        self._on_toggled(unfolded=False)

    @property
    def unfolded(self) -> bool:
        """Whether the sections are shown."""
        return self.button.isChecked()

    def unfold(self, unfolded: bool = True) -> None:
        """Show the sections, or hide them."""
        self.button.setChecked(unfolded)

    def add(self, heading: str, content: "QWidget | Form[Any]") -> None:
        """Add a section.

        Parameters
        ----------
        heading
            Its heading; none if it is empty.
        content
            A widget, or a form: its rare fields.
        """
        widget = content if isinstance(content, QWidget) else content.rare
        label = heading_label(heading) if heading else None
        if label is not None:
            self._column.addWidget(label)
        self._column.addWidget(widget)
        self._sections.append((label, widget))
        if isinstance(content, Form):
            self._forms.append(content)
            content.arranged.connect(self._arrange)
            if self.unfolded:
                content.fill_rare()
        widget.installEventFilter(self)
        self._arrange()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow sections that are hidden and shown from outside."""
        kinds = (QEvent.Type.ShowToParent, QEvent.Type.HideToParent)
        if event is not None and event.type() in kinds:
            self._arrange()
        return False

    def _on_toggled(self, unfolded: bool) -> None:
        self.button.setText(_LESS if unfolded else _MORE)
        self.button.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
        if unfolded:
            for form in self._forms:
                form.fill_rare()
        self._body.setVisible(unfolded)

    def _arrange(self) -> None:
        """Hide headings without content, and the button if nothing is left."""
        forms = {form.rare: form for form in self._forms}
        anything = False
        for label, widget in self._sections:
            form = forms.get(widget)
            if form is not None and widget.isHidden() is form.has_rare:
                widget.setVisible(form.has_rare)
            shown = not _is_hidden(widget)
            anything |= shown
            if label is not None:
                label.setVisible(shown)
        self.button.setVisible(anything)


def _is_hidden(widget: QWidget) -> bool:
    """Whether a widget was hidden by a call, and not only because its parents are."""
    explicit = widget.testAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide)
    return bool(explicit and widget.isHidden())


__all__ = ["More"]
