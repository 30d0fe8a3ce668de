"""The current item of a review queue, its buttons, and the estimates from verdicts."""

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.review_queue import Count, Queue, estimate_count

KEYS = {"next": "N", "previous": "Shift-N", "accept": "Y", "fix": "Shift-F", "reject": "Backspace"}
"""Keys over the canvas; none is napari's own or a tool's of the Correct dock."""

_HELP = {
    "previous": "Go back to the previous item.",
    "next": "Go to the next item without a verdict.",
    "accept": "It is right: lock it, so that no run changes it, and go to the next item.",
    "fix": "Open the Correct tools. The item counts as fixed once you changed it; the key of Next "
    "leads back here.",
    "reject": "It is not an object: delete it and go to the next item. Ctrl+Z undoes.",
}

_VERDICTS = {
    "": "no verdict yet",
    "accepted": "accepted",
    "fixed": "fixed",
    "rejected": "rejected",
    "gone": "no longer there",
}

_MOST_MISSED = 9999


class QueuePanel(QWidget):
    """A panel with the item, the progress, five buttons and the estimates.

    Signals
    -------
    pressed(str)
        A key of `KEYS`.
    missed(int)
        The number of objects missed in the window on screen.
    """

    pressed = Signal(str)
    missed = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.item = _line()
        self.bar = QProgressBar()
        self.bar.setFormat("%v of %m judged")
        self.keys = _line()
        self.keys.setStyleSheet("color: gray;")
        self.outlook = _line()
        self.count = _line()
        self.buttons = {name: self._button(name) for name in KEYS}
        self.box = QSpinBox()
        self.box.setRange(0, _MOST_MISSED)
        self.box.setToolTip(
            "Number of objects in the frame without a label. Those that you draw are counted."
        )
        self.box.valueChanged.connect(self.missed)
        self.missing = QWidget()
        across = QHBoxLayout(self.missing)
        across.setContentsMargins(0, 0, 0, 0)
        across.addWidget(QLabel("Missed in the frame"))
        across.addWidget(self.box, 1)
        grid = QGridLayout()
        grid.setSpacing(4)
        for name, place in {
            "previous": (0, 0, 1, 3),
            "next": (0, 3, 1, 3),
            "accept": (1, 0, 1, 2),
            "fix": (1, 2, 1, 2),
            "reject": (1, 4, 1, 2),
        }.items():
            grid.addWidget(self.buttons[name], *place)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        above: tuple[QWidget, ...] = (self.bar, self.item, self.missing)
        for widget in above:
            column.addWidget(widget)
        column.addLayout(grid)
        for widget in (self.keys, self.outlook):
            column.addWidget(widget)
        column.addWidget(self.count)
        self.show_keys(())
        self.show_queue(None)

    def show_keys(self, keys: Any) -> None:
        """Show the active keys."""
        for name, key in KEYS.items():
            keys_text = f" Key over the canvas: {key.replace('-', '+')}." if key in keys else ""
            self.buttons[name].setToolTip(f"{_HELP[name]}{keys_text}")
        keys_text = ", ".join(
            f"{KEYS[name].replace('-', '+')} {name}" for name in KEYS if KEYS[name] in keys
        )
        self.keys.setText(f"Keys over the canvas: {keys_text}." if keys_text else "")

    def show_queue(self, queue: Queue | None) -> None:
        """Show the current item and progress of a queue, or nothing."""
        item = None if queue is None else queue.item
        for button in self.buttons.values():
            button.setEnabled(item is not None)
        self.setVisible(queue is not None)
        if queue is None:
            return
        self.bar.setRange(0, max(len(queue), 1))
        self.bar.setValue(queue.n_judged)
        self.item.setText(_item_text(queue))
        counted = item is not None and queue.random and item.kind == "window"
        self.missing.setVisible(counted)
        blocked = self.box.blockSignals(True)
        self.box.setValue(round(queue.true_objects(queue.at)) if counted else 0)
        self.box.blockSignals(blocked)
        self._name_buttons(queue)
        self.outlook.setText(_outlook(queue))
        done = not queue.random and queue.outlook().enough
        self.outlook.setStyleSheet("font-weight: bold;" if done else "")
        self.count.setText(counted_text(queue))

    def _name_buttons(self, queue: Queue) -> None:
        item = queue.item
        kind = "object" if item is None else item.kind
        nothing = kind == "place" or (kind == "window" and queue.random)
        words = {
            "previous": "Previous",
            "next": "Next",
            "accept": "Nothing missed" if nothing else "Accept",
            "fix": "Draw" if nothing else "Fix",
            "reject": "Reject",
        }
        if kind == "window" and queue.random and self.box.value():
            words["accept"] = f"{self.box.value()} missed"
        for name, word in words.items():
            self.buttons[name].setText(word)
        self.buttons["reject"].setEnabled(item is not None and kind == "object")

    def _button(self, name: str) -> QPushButton:
        button = QPushButton(name.capitalize())
        button.setObjectName(name)
        button.setStyleSheet("QPushButton { padding: 4px 2px; }")
        button.setMinimumWidth(40)
        button.clicked.connect(lambda: self.pressed.emit(name))
        return button


def counted_text(queue: Queue) -> str:
    """Return the count with its confidence interval, or why there is none."""
    if not queue.random:
        return (
            "For a count with a confidence interval choose the order random sample: items reviewed "
            "unsure first contain more mistakes than the rest, so they are not counted."
        )
    passed = queue.n_judged - queue.n_in_a_row
    gap = (
        f" {passed} judged after the skipped item {queue.n_in_a_row + 1} do not count until it is "
        "judged, because skipped items may be hard ones."
        if passed
        else ""
    )
    try:
        found = estimate_count(queue.sample())
    except InputError as error:
        return f"{error}{gap}"
    return f"{count_text(found)}{gap}"


def count_text(found: Count) -> str:
    """Describe a count in words."""
    sample, precision, missed = found.sample, found.precision, found.missed
    said = "with 95 % confidence."
    if found.assumes_even:
        some = sum(number > 0 for number in sample.missed)
        said = (
            "if missed objects are spread evenly. The sample cannot tell: objects are missed in "
            f"{some} of its {len(sample.missed)} windows, and may be in {found.affected.high:,.0f} "
            f"of all {sample.windows:,}. If they lie in clusters, the count is more uncertain: "
            "judge more windows."
        )
    return (
        f"<b>True count about {found}</b>, {said} Precision "
        f"{precision.estimate:.2f} ({precision.low:.2f} to {precision.high:.2f}), missed about "
        f"{missed.estimate:,.0f} ({missed.low:,.0f} to {missed.high:,.0f}). From "
        f"{len(sample.worth):,} of {sample.population:,} objects and {len(sample.missed):,} of "
        f"{sample.windows:,} windows."
    )


def _item_text(queue: Queue) -> str:
    item = queue.item
    if item is None:
        return "There is nothing to review."
    what = {
        "object": f"object {item.number}",
        "place": "a place where an object may be missed",
        "window": "a window, in which objects may be missed" if queue.random else "a window",
    }[item.kind]
    why = f" ({item.why})" if item.why else ""
    return f"Item {queue.at + 1} of {len(queue)}: {what}{why} - <i>{_VERDICTS[queue.verdict]}</i>"


def _outlook(queue: Queue) -> str:
    if queue.random or not len(queue):
        return ""
    outlook = queue.outlook()
    left = len(queue) - queue.n_judged
    if not left:
        return "All items are judged."
    if not outlook.seen:
        return ""
    rate = f"{outlook.changed} of the last {outlook.seen} had to be changed"
    if outlook.enough:
        return f"Few mistakes are left: {rate}. You can stop here."
    return f"{rate}: at most about {outlook.expected:.0f} of the remaining {left} will."


def _line() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label


__all__ = ["KEYS", "QueuePanel", "count_text", "counted_text"]
