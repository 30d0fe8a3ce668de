"""The message of a page: at most four lines, and the rest on a click."""

import re
from html import escape

from qtpy.QtCore import QEvent, QRect, QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel

from napari_unetseg.gui.shared.style import PROBLEM

MOST_LINES = 4
"""Lines of a message at sight."""

_NEXT = "Next:"
_MORE, _LESS = "More", "Less"
_SENTENCE_END = re.compile(r"(?<=[.!?]) +(?=\S)")
_PADDING = 12
"""Pixels of a line that a problem's frame takes."""


class MessageLine(QLabel):
    """A message below the buttons of a page.

    One that takes more than `MOST_LINES` lines is shown by its first sentence, the one that begins
    with ``Next:``, and as many of the others, in their order, as there is room for. A link shows
    all of them, and the tooltip does. `text` is always the whole message.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self._whole = ""
        self._unfolded = False
        self._width = -1
        self.setObjectName("message")
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        # Before the flags: they choose what of a text can be pressed.
        self.setOpenExternalLinks(False)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.LinksAccessibleByMouse
        )
        self.linkActivated.connect(lambda _: self.unfold(not self._unfolded))
        self.setText(text)

    def say(self, message: str, *, problem: bool = False) -> None:
        """Show a message, or a problem."""
        self.setProperty("problem", problem)
        style = PROBLEM if problem else ""
        if style != self.styleSheet():
            self.setStyleSheet(style)
        self.setText(message)

    def text(self) -> str:
        """Return the whole message."""
        return self._whole

    def setText(self, text: str | None) -> None:
        """Show a message, folded if it is long."""
        self._whole, self._unfolded = text or "", False
        self._arrange()

    @property
    def shown(self) -> str:
        """The sentences at sight."""
        return self._whole if self._unfolded else self._folded()

    def unfold(self, unfolded: bool = True) -> None:
        """Show the whole message, or what fits."""
        self._unfolded = unfolded
        self._arrange()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fold the message anew where the page got another width."""
        super().resizeEvent(event)
        if self.width() != self._width:
            self._arrange()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow another theme or font."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange):
            self._arrange()

    def minimumSizeHint(self) -> QSize:
        """Return no least width: a long name does not widen the page."""
        return QSize(0, super().minimumSizeHint().height())

    def _arrange(self) -> None:
        self._width = self.width()
        folded = self._folded()
        link = ""
        if folded != self._whole:
            colour = self.palette().color(self.foregroundRole()).name()
            word = _LESS if self._unfolded else _MORE
            link = f' <a href="#" style="color: {colour}">{word}</a>'
        self.setToolTip(self._whole if link else "")
        shown = self._whole if self._unfolded else folded
        super().setText(escape(shown, quote=False).replace("\n", "<br>") + link)

    def _folded(self) -> str:
        """Return the sentences at sight while the message is folded."""
        if self._fits(self._whole):
            return self._whole
        sentences = _SENTENCE_END.split(self._whole)
        numbers = range(1, len(sentences))
        kept, most = [0], [n for n in numbers if sentences[n].startswith(_NEXT)]
        for number in [*most, *(n for n in numbers if n not in most)]:
            tried = sorted([*kept, number])
            if not self._fits(" ".join(sentences[n] for n in tried), _MORE):
                break
            kept = tried
        return " ".join(sentences[n] for n in kept)

    def _fits(self, *texts: str) -> bool:
        metrics = self.fontMetrics()
        room = QRect(0, 0, max(1, self.width() - _PADDING), 1 << 16)
        taken = metrics.boundingRect(room, Qt.TextFlag.TextWordWrap, " ".join(texts))
        return round(taken.height() / metrics.lineSpacing()) <= MOST_LINES


__all__ = ["MOST_LINES", "MessageLine"]
