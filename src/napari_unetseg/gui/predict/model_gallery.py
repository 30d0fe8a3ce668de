"""A grid of the shipped models, with a picture and a line each, to take one by a click."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QImage, QPixmap, QResizeEvent
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_unetseg.core.models_io.model_pictures import Picture

SIDE = 192
"""Side in pixels of the pictures that are shown; half of it on usual screens."""

_SHOWN = SIDE // 2
_COLUMN = _SHOWN + 10
_SPACING = 4


@dataclass(frozen=True)
class CardText:
    """What a card says.

    Parameters
    ----------
    name
        Of the model.
    line
        One line about it, below the name.
    help
        The tooltip.
    """

    name: str
    line: str
    help: str


class GalleryCard(QPushButton):
    """A button with a picture, a name and a line."""

    def __init__(self, text: CardText) -> None:
        super().__init__()
        self.setCheckable(True)
        self.name = text.name
        self.setAccessibleName(text.name)
        self.picture, self.line = QLabel(), QLabel(text.line)
        self.picture.setFixedSize(_SHOWN, _SHOWN)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setStyleSheet("background: #202428;")
        title = QLabel(f"<b>{text.name.replace('_', ' ')}</b>")
        title.setWordWrap(True)
        self.line.setWordWrap(True)
        self.line.setStyleSheet("font-size: 9pt;")
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.setSpacing(1)
        column.addWidget(self.picture, 0, Qt.AlignmentFlag.AlignHCenter)
        for label in (title, self.line):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
            column.addWidget(label)
        column.addStretch(1)
        for label in (self.picture, title, self.line):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            label.setAutoFillBackground(False)
        self.setToolTip(text.help)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def heightForWidth(self, width: int) -> int:
        """Return the height of what it holds, which a button does not ask for."""
        layout = self.layout()
        return layout.heightForWidth(width) if layout is not None else 0

    def sizeHint(self) -> QSize:
        """Return the size of what it holds in the narrowest column."""
        return QSize(_COLUMN, self.heightForWidth(_COLUMN))

    def minimumSizeHint(self) -> QSize:
        """Return `sizeHint`."""
        return self.sizeHint()

    def show_picture(self, picture: Picture | Path) -> None:
        """Show a picture (Y, X, 3), or the one in a file."""
        if isinstance(picture, Path):
            pixmap = QPixmap(str(picture))
        else:
            height, width = picture.shape[:2]
            rgb = QImage.Format.Format_RGB888
            pixmap = QPixmap.fromImage(QImage(picture.tobytes(), width, height, 3 * width, rgb))
        pixmap.setDevicePixelRatio(max(pixmap.width(), 1) / _SHOWN)
        self.picture.setPixmap(pixmap)


class ModelGallery(QWidget):
    """Cards of models, the first of them at the top left.

    Signals
    -------
    taken(str)
        The user pressed the card of a model.
    """

    taken = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.cards: tuple[GalleryCard, ...] = ()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 4, 0, 4)
        self._grid.setSpacing(_SPACING)
        self._columns = 0

    def show_cards(self, texts: Sequence[CardText], pictures: Mapping[str, Picture | Path]) -> None:
        """Replace the cards.

        Parameters
        ----------
        texts
            One for each card, in their order.
        pictures
            Of some or all, by name.
        """
        for card in self.cards:
            self._grid.removeWidget(card)
            card.deleteLater()
        self.cards = tuple(GalleryCard(text) for text in texts)
        for card in self.cards:
            card.clicked.connect(partial(self._on_clicked, card.name))
        self._columns = 0
        self._arrange()
        self.show_pictures(pictures)

    def show_pictures(self, pictures: Mapping[str, Picture | Path]) -> None:
        """Show pictures of some cards; the others keep theirs."""
        for card in self.cards:
            if card.name in pictures:
                card.show_picture(pictures[card.name])

    def check(self, name: str) -> None:
        """Mark the card of a model, and no other."""
        for card in self.cards:
            card.setChecked(card.name == name)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Put as many cards beside each other as there is room for."""
        super().resizeEvent(event)
        self._arrange()

    def minimumSizeHint(self) -> QSize:
        """Return a size that is no wider than two cards."""
        return QSize(2 * _COLUMN + _SPACING, super().minimumSizeHint().height())

    def _arrange(self) -> None:
        columns = max(2, (self.width() + _SPACING) // (_COLUMN + _SPACING))
        if columns == self._columns:
            return
        self._columns = columns
        for number, card in enumerate(self.cards):
            self._grid.addWidget(card, *divmod(number, columns))
        for column in range(self._grid.columnCount()):
            self._grid.setColumnStretch(column, int(column < columns))
        self.updateGeometry()
        # Qt lays out what is left of a resize later: until then the cards are cut off.
        self._grid.activate()

    def _on_clicked(self, name: str, checked: bool = False) -> None:
        self.check(name)
        self.taken.emit(name)


__all__ = ["SIDE", "CardText", "GalleryCard", "ModelGallery"]
