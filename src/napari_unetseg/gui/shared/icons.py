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
    "click": "M6 4 18 12 12.5 13.5 15 19 12.5 20 10 14.5 6 18Z",
    "merge": "M10 7A5.5 5.5 0 1 0 10 17 M14 7A5.5 5.5 0 1 1 14 17 M10 7H14 M10 17H14",
    "line": "M12 5A7 7 0 1 0 12 19 7 7 0 1 0 12 5 M3 21 21 3",
    "seeds": "M12 4A8 8 0 1 0 12 20 8 8 0 1 0 12 4 M12 4V20 M8 12H8.1 M16 12H16.1",
    "apart": "M7 8A4 4 0 1 0 7 16 4 4 0 1 0 7 8 M17 8A4 4 0 1 0 17 16 4 4 0 1 0 17 8",
    "delete": "M5 7H19 M9 7V4H15V7 M7 7 8 20H16L17 7 M10.5 11V16 M13.5 11V16",
    "selected": "M4 8V4H8 M16 4H20V8 M20 16V20H16 M8 20H4V16 M9 9 15 15 M15 9 9 15",
    "small": "M7 10A2 2 0 1 0 7 14 2 2 0 1 0 7 10 M13 12H20",
    "border": "M4 4H20V20H4Z M4 7A5 5 0 0 1 4 17",
    "fill": "M12 4A8 8 0 1 0 12 20 8 8 0 1 0 12 4 M12 8V16 M8 12H16",
    "smooth": "M3 14C6 6 9 6 12 12S18 18 21 10",
    "grow": "M12 8A4 4 0 1 0 12 16 4 4 0 1 0 12 8 M12 5V2 M12 22V19 M5 12H2 M22 12H19",
    "shrink": "M12 3A9 9 0 1 0 12 21 9 9 0 1 0 12 3 M7 12H10 M17 12H14 M12 7V10 M12 17V14",
    "interpolate": "M5 5H19 M5 19H19 M7 12H9 M11 12H13 M15 12H17",
    "next": "M5 5H19 M12 9V20 M8 16 12 20 16 16",
    "previous": "M5 19H19 M12 15V4 M8 8 12 4 16 8",
    "shapes": "M4 13 10 4 16 13Z M12 14H20V20H12Z",
    "approve": "M5 13 10 18 19 7",
    "view": "M2 12C7 5 17 5 22 12 17 19 7 19 2 12Z M9 12 11.5 14.5 15.5 9.5",
    "unlock": "M6 11H18V20H6Z M9 11V7A3 3 0 0 1 15 6",
    "renumber": "M10 4 8 20 M17 4 15 20 M4 9H20 M4 15H20",
}
"""Lines of each icon, as an SVG path in a square of 24 by 24."""

_SIDE = 20
_SCALES = (1, 2)


def line_icon(name: str, viewer: Any, *, busy: bool = False, checked: str = "") -> QIcon:
    """Draw an icon in the text colour of the viewer's theme.

    Parameters
    ----------
    name
        A key of `LINES`.
    viewer
        The napari viewer.
    busy
        Add a dot at the top right, for a run that goes on.
    checked
        The colour of the lines on a button that is checked, if it is another one.
    """
    icon = QIcon()
    for scale in _SCALES:
        icon.addPixmap(_drawn(LINES[name], text_colour(viewer), scale, busy=busy))
        if checked:
            drawn = _drawn(LINES[name], checked, scale, busy=busy)
            icon.addPixmap(drawn, QIcon.Mode.Normal, QIcon.State.On)
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
