"""Icons drawn as lines, in the colour of a theme's text."""

from typing import Any

from qtpy.QtCore import QByteArray, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtSvg import QSvgRenderer

from napari_unetseg.gui.shared.style import POINTER

LINES = {
    "start": "M4 11 12 4 20 11 M6 10V20H18V10 M10 20V14H14V20",
    "draft": "M3 20H21 M5 20V14 M8.5 20V6 M12 20V10 M19 20V17 M15.5 3V7 M15.5 9V13 M15.5 15V20",
    "learn": "M8 7 16 12 M8 17 16 12 M4 7A2 2 0 1 0 8 7 2 2 0 1 0 4 7 M4 17A2 2 0 1 0 8 17 2 2 0 "
    "1 0 4 17 M16 12A2.5 2.5 0 1 0 21 12 2.5 2.5 0 1 0 16 12",
    "apply": "M6 4 19 12 6 20Z",
    "fix": "M4 20 5 15 16 4 20 8 9 19Z M13 7 17 11",
    "results": "M4 5H20V19H4Z M4 10H20 M4 14.5H20 M10 5V19",
    "save": "M4 4H16L20 8V20H4Z M8 4V9H15V4 M7 20V14H17V20",
}
"""Lines of each icon, as an SVG path in a square of 24 by 24."""

_SIDE = 20
_SCALES = (1, 2)


def line_icon(name: str, viewer: Any, *, busy: bool = False) -> QIcon:
    """Draw an icon in the text colour of the viewer's theme.

    Parameters
    ----------
    name
        A key of `LINES`.
    viewer
        The napari viewer.
    busy
        Add a dot at the top right, for a run that goes on.
    """
    icon = QIcon()
    for scale in _SCALES:
        icon.addPixmap(_drawn(LINES[name], text_colour(viewer), scale, busy=busy))
    return icon


def dot_icon() -> QIcon:
    """Draw the dot of a run that goes on."""
    picture = _empty(1)
    painter = QPainter(picture)
    _dot(painter, QRectF(5, 5, 10, 10))
    painter.end()
    return QIcon(picture)


def icon_size() -> QSize:
    """Return the size that the icons are drawn for."""
    return QSize(_SIDE, _SIDE)


def text_colour(viewer: Any) -> str:
    """Return the text colour of the viewer's theme, as in ``"#f0f1f2"``."""
    from napari.utils.theme import get_theme

    return str(get_theme(viewer.theme).text.as_hex("long"))


def _drawn(lines: str, colour: str, scale: int, *, busy: bool) -> QPixmap:
    text = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" '
        f'stroke="{colour}" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round">'
        f'<path d="{lines}"/></svg>'
    )
    picture = _empty(scale)
    painter = QPainter(picture)
    QSvgRenderer(QByteArray(text.encode())).render(painter, QRectF(0, 0, _SIDE, _SIDE))
    if busy:
        _dot(painter, QRectF(_SIDE - 9, 0, 9, 9))
    painter.end()
    return picture


def _empty(scale: int) -> QPixmap:
    picture = QPixmap(scale * _SIDE, scale * _SIDE)
    picture.setDevicePixelRatio(scale)
    picture.fill(Qt.GlobalColor.transparent)
    return picture


def _dot(painter: QPainter, place: QRectF) -> None:
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(POINTER))
    painter.drawEllipse(place)


__all__ = ["LINES", "dot_icon", "icon_size", "line_icon", "text_colour"]
