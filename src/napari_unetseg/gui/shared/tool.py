"""The page common to all tools: inputs, form, Run, Cancel, Stop, progress bar and message."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from napari.layers import Image as ImageLayer
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtGui import QHideEvent, QKeyEvent, QShowEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QComboBox,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_unetseg.core.errors import InputError, NothingToDo
from napari_unetseg.core.image import AXES
from napari_unetseg.core.options import Options
from napari_unetseg.gui.shared.axes_line import AxesLine, use_in_words
from napari_unetseg.gui.shared.data_versions import data_version
from napari_unetseg.gui.shared.dock_help import About, small_button, text_button
from napari_unetseg.gui.shared.docking import ask_before_closing, open_as_tab, when_undocked
from napari_unetseg.gui.shared.form import Form
from napari_unetseg.gui.shared.layer_choice import LayerChoice
from napari_unetseg.gui.shared.layers import (
    axes_of,
    channel_choice,
    image_of,
    is_input,
    is_report,
    long_axes,
    put_channels_first,
)
from napari_unetseg.gui.shared.message_line import MessageLine
from napari_unetseg.gui.shared.more import More
from napari_unetseg.gui.shared.preview import Preview
from napari_unetseg.gui.shared.remembered_options import RESET_HELP, Memory
from napari_unetseg.gui.shared.session import Session, unwrapped
from napari_unetseg.gui.shared.style import FOCUS
from napari_unetseg.gui.shared.tab_order import order_tabs
from napari_unetseg.gui.shared.task import Task, Work, time_left
from napari_unetseg.gui.shared.undo_history import latest_steps
from napari_unetseg.gui.shared.undone_message import UndoneMessage

O = TypeVar("O", bound=Options)  # noqa: E741 - an Options

_GONE = (
    "The layer was removed during the run, so the result was dropped. Choose another layer and run "
    "again."
)


class Tool(QWidget, Generic[O]):
    """A dock page that runs one core function on one layer.

    A tool defines its input (`accepts`), its computation (`work`) and the display of its result
    (`show_result`). Threads, progress, Cancel, messages and the choice of layer are common.

    A subclass makes its own widgets in its `__init__` and ends with `assemble`, which lays out the
    page and connects it. No method of a subclass is called before, so none has to check whether the
    page is complete.

    Parameters
    ----------
    viewer
        The napari viewer, or its plugin proxy.
    options
        The initial values of the form.
    """

    title: ClassVar[str]
    help_text: ClassVar[str]
    run_text: ClassVar[str] = "Run"
    run_help: ClassVar[str] = ""
    can_stop: ClassVar[bool] = False
    stop_help: ClassVar[str] = "End now and keep the best result so far."
    pick_text: ClassVar[str] = "Image"
    channels_text: ClassVar[str] = "all channels together"
    nothing_text: ClassVar[str] = "Open an image (File menu), or drop one on the window."
    runs_on_labels: ClassVar[bool] = False
    """Whether the layer is one of labels, so that masks opened as images are offered too."""
    makes_model: ClassVar[bool] = False
    """Whether the result is a model, which is of use on other pixels too."""
    at_sight: ClassVar[Collection[str] | None] = None
    """Names of the options at first sight, the others are under More; see `Form`."""

    bar: QProgressBar
    foot: QVBoxLayout
    undone: UndoneMessage
    reset_button: QPushButton

    def __init__(self, viewer: Any, options: O) -> None:
        super().__init__()
        self.viewer = viewer = unwrapped(viewer)
        self.session = Session.of(viewer)
        self.form: Form[O] = Form(options, first=self.at_sight)
        self.more = More()
        self.pick = LayerChoice(
            viewer,
            self.accepts,
            follow=lambda layer: not is_report(layer),
            images=self.runs_on_labels,
        )
        self.axes_line = AxesLine()
        self.axes_line.chosen.connect(lambda: self._on_picked(self.pick.layer()))
        self._axes_seen: tuple[object, ...] = ()
        self.preview = Preview(viewer)
        self.task: Task | None = None
        self._source: Layer | None = None
        self._closed = False

    def assemble(
        self,
        *,
        rows: Sequence[tuple[str, QWidget]] = (),
        lead: Sequence[QWidget] = (),
        extras: Sequence[QWidget] = (),
        more: Sequence[tuple[str, QWidget | Form[Any]]] = (),
        results: Sequence[QWidget] = (),
        forms: Mapping[str, Form[Any]] | None = None,
        choices: Mapping[str, QComboBox] | None = None,
    ) -> None:
        """Lay out the page, restore the remembered options and connect signals; call it last.

        Parameters
        ----------
        rows
            Inputs below the layer, as pairs of label and widget.
        lead, extras
            Widgets above the form, and below it.
        more
            Sections under More, as pairs of heading and content; the rare options of the form
            follow them, unless the form is among them.
        results
            Widgets below all options.
        forms, choices
            More forms, and boxes, whose values are remembered between sessions.
        """
        self._lay_out(rows, lead, extras, more, results)
        self.memory = Memory(
            self.title,
            {"options": self.form, **(forms or {})},
            choices or {},
            self.reset_button,
            self.forgotten,
            self.session.closed_options,
        )
        self.memory.take_up()
        when_undocked(self, self.close_tool)
        open_as_tab(self)
        ask_before_closing(self, lambda: self.title if self.running else "")
        order_tabs(self)
        self.pick.picked.connect(self._on_picked)
        self.form.changed.connect(self._on_form_changed)
        self._on_picked(self.pick.layer())

    # Definition of a tool

    @classmethod
    def accepts(cls, layer: Layer) -> bool:
        """Whether this tool can run on `layer`; by default any image that is an input."""
        return isinstance(layer, ImageLayer) and is_input(layer)

    def work(self, layer: Layer, options: O) -> Work:
        """Return the computation, which holds arrays and options only and runs in another thread.

        Its result also holds all other inputs of the run (a model, another layer, a tick), because
        every control can change during the run.

        Raises
        ------
        InputError
            If the tool cannot run on this layer.
        """
        raise NotImplementedError

    def show_result(self, layer: Layer, options: O, result: Any) -> str:
        """Put `result` into layers and return the message for the user.

        The inputs of the run are read from `layer`, `options` and `result`, never from controls or
        the session, which may have changed since.
        """
        raise NotImplementedError

    def where_else(self, result: Any) -> str:
        """Return a sentence and a space on where a result is that no layer can show, or ``""``."""
        return ""

    def show_on_the_way(self, thing: Any) -> None:
        """Show an intermediate result of the run."""

    def layer_changed(self, layer: Layer | None) -> None:
        """React to another picked layer."""
        self.preview.remove()

    def options_changed(self, options: O) -> None:
        """React to a change of the form by the user."""

    def whole_axes(self) -> str:
        """Return the axes of what is processed at once: YX, or ZYX for volumes."""
        return "YX"

    def forgotten(self) -> frozenset[str]:
        """Return the names of the options of one image or model, which are not remembered."""
        return frozenset()

    # State and actions

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self.task is not None

    @property
    def source(self) -> Layer | None:
        """The layer of the current run; the picked one may differ by now."""
        return self._source

    def run(self) -> None:
        """Run on the picked layer; a second call while running does nothing."""
        layer = self.pick.layer()
        if layer is None or self.running:
            return
        try:
            options = self.form.options
            work = self.work(layer, options)
        except InputError as error:
            self.say_error(error)
            return
        self._source, self._options = layer, options
        self._begun = (_shape(layer), data_version(layer))
        self.memory.keep()
        self.task = Task(work, self, name=f"{self.title} (UNet Segmentation)")
        self.task.progressed.connect(self._on_progressed)
        self.task.shown.connect(self.show_on_the_way)
        self.task.returned.connect(self._on_returned)
        self.task.refused.connect(self.say_error)
        self.task.failed.connect(self._on_failed)
        self.task.finished.connect(self._on_finished)
        self.say("Working...")
        self.bar.setRange(0, 0)
        self._clock = time.monotonic()
        self.refresh()
        self.session.runs_changed.emit()
        self.task.start()

    def cancel(self) -> None:
        """Abandon the run; everything stays as it was."""
        if self.task is not None:
            self.task.cancel()
            self.say("Cancelled. Nothing was changed.")
            self.cancel_button.setEnabled(False)

    def stop(self) -> None:
        """End the run now and keep the best result so far."""
        if self.task is not None:
            self.task.stop()
            self.stop_button.setEnabled(False)

    def say(self, message: str, *, problem: bool = False) -> None:
        """Show `message` under the buttons."""
        self.message.say(message, problem=problem)

    def say_error(self, error: InputError) -> None:
        """Show why nothing was done: as a problem, unless there was nothing to do."""
        self.say(str(error), problem=not isinstance(error, NothingToDo))

    def unsay(self) -> None:
        """Clear the message if it shows a problem."""
        if self.message.property("problem"):
            self.say("")

    def refresh(self) -> None:
        """Enable or disable the buttons; no other place does."""
        self.memory.offer_reset()
        idle = not self.running
        self._show_axes()
        self.run_button.setEnabled(idle and self.pick.layer() is not None)
        self.cancel_button.setEnabled(not idle)
        self.cancel_button.setVisible(not idle)
        self.stop_button.setVisible(self.can_stop and not idle)
        self.stop_button.setEnabled(self.can_stop and not idle)
        self.bar.setVisible(not idle)
        if self.pick.layer() is None and idle:
            self.say(self.nothing_text)
        elif self.message.text() == self.nothing_text:
            self.say("")

    def close_tool(self) -> None:
        """Cancel the run and disconnect from the viewer; the page cannot be used afterwards."""
        if not self._closed:
            self._closed = True
            self.memory.put_away()
            self.cancel()
            self.hidden()
            self.pick.close_events()
            self.undone.forget()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Press the focused button on Enter, run on Ctrl+Enter and cancel on Escape.

        Enter in a field keeps its value and starts nothing.
        """
        key = None if event is None else event.key()
        if event is not None and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            runs = event.modifiers() & Qt.KeyboardModifier.ControlModifier
            pressed = self.run_button if runs else self.focusWidget()
            if isinstance(pressed, QAbstractButton) and pressed.isEnabled() and pressed.isVisible():
                pressed.click()
        elif key == Qt.Key.Key_Escape and self.running:
            self.cancel()
        else:
            super().keyPressEvent(event)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Show the preview when the page becomes visible."""
        super().showEvent(event)
        if not self._closed:
            self.memory.offer_reset()
            if self._axes_seen != self._axes_now():
                # Other axes or channels were chosen in another tool.
                self._on_picked(self.pick.layer())
            self.shown()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Remove the preview when the page is hidden."""
        super().hideEvent(event)
        if not self._closed:
            self.hidden()

    def shown(self) -> None:
        """React to the page becoming visible."""

    def hidden(self) -> None:
        """React to the page being hidden, perhaps for good."""
        self.preview.remove()

    # Wiring

    def _lay_out(
        self,
        rows: Sequence[tuple[str, QWidget]],
        lead: Sequence[QWidget],
        extras: Sequence[QWidget],
        more: Sequence[tuple[str, QWidget | Form[Any]]],
        results: Sequence[QWidget],
    ) -> None:
        about = About(self.title, self.help_text, self)
        self.reset_button = small_button("Reset", RESET_HELP, lambda: self.memory.reset())
        about.row.addWidget(self.reset_button, 0, Qt.AlignmentFlag.AlignTop)
        self.pick.setObjectName("image")
        for number, (label, widget) in enumerate([(self.pick_text, self.pick), *rows]):
            widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            widget.setMinimumWidth(80)
            self.form.layout.insertRow(number, label, widget)
        # Below the layer that it is about.
        self.form.layout.insertRow(1, self.axes_line)
        self.run_button = text_button(self.run_text, self.run_help, self.run)
        self.cancel_button = text_button(
            "Cancel", "Abandon the run. Everything stays as it was.", self.cancel
        )
        self.stop_button = text_button("Stop", self.stop_help, self.stop)
        self.run_button.setObjectName("run")
        # The main button stands out in every theme.
        font = self.run_button.font()
        font.setBold(True)
        self.run_button.setFont(font)
        buttons = QHBoxLayout()
        for button in (self.run_button, self.stop_button, self.cancel_button):
            buttons.addWidget(button)
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.message = MessageLine()
        self.undone = UndoneMessage(self.message)
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(8, 6, 8, 6)
        column.addWidget(about)
        for widget in lead:
            column.addWidget(widget)
        column.addWidget(self.form.page)
        for widget in extras:
            column.addWidget(widget)
        for heading, content in more:
            self.more.add(heading, content)
        if all(content is not self.form for _, content in more):
            self.more.add("", self.form)
        column.addWidget(self.more)
        for widget in results:
            column.addWidget(widget, int(_grows(widget)))
        column.addStretch(0 if any(map(_grows, results)) else 1)
        self.scroller = scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(page)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scroll)
        # Below what scrolls, so that they are always in sight.
        self.foot = foot = QVBoxLayout()
        foot.setContentsMargins(8, 0, 8, 6)
        foot.addLayout(buttons)
        foot.addWidget(self.bar)
        foot.addWidget(self.message)
        whole.addLayout(foot)
        self.setMinimumWidth(280)
        self.setStyleSheet(FOCUS)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _on_picked(self, layer: Layer | None) -> None:
        if layer is not None and not self.running:
            put_channels_first(layer, self.viewer.layers)
        self._axes_seen = self._axes_now()
        self.refresh()
        self.layer_changed(layer)

    def _on_form_changed(self, options: Any) -> None:
        self.options_changed(options)
        self._show_axes()

    def _axes_now(self) -> tuple[object, ...]:
        """Return what the page shows of the layer depends on: its axes and channels."""
        layer = self.pick.layer()
        if layer is None or not 2 < layer.ndim <= len(AXES) or 0 in _shape(layer):
            return ()
        return layer, axes_of(layer), channel_choice(layer)

    def _show_axes(self) -> None:
        layer = self.pick.layer()
        now = self._axes_now()
        if layer is None or not now:
            self.axes_line.show_layer(None, "")
            return
        image = image_of(layer)
        channels = self.channels_text if image.n_channels > 1 and not image.rgb else ""
        chosen = channel_choice(layer)
        if chosen and image.n_channels == 1:
            channels = f"channel {chosen} alone"
        self.axes_line.show_layer(
            layer, use_in_words(long_axes(image), self.whole_axes(), channels)
        )

    def _on_progressed(self, fraction: float, message: str) -> None:
        self.bar.setRange(0, 1000)
        self.bar.setValue(round(1000 * fraction))
        left = time_left(fraction, time.monotonic() - self._clock)
        self.bar.setFormat(f"%p %, {left}" if left else "%p %")
        if message:
            self.say(f"{message[:1].upper()}{message[1:]}...")

    def _on_returned(self, result: object) -> None:
        layer = self._source
        if layer is None or (layer not in self.viewer.layers and not self.makes_model):
            self.say(_GONE, problem=True)
            return
        (shape, version), now = self._begun, _shape(layer)
        if shape != now and not self.makes_model:
            self.say(
                f"{layer.name!r} had the shape {shape} when the run began and has {now} now, so "
                f"the result was dropped. {self.where_else(result)}Run again.",
                problem=True,
            )
            return
        before = latest_steps(self.viewer.layers)
        message = self.show_result(layer, self._options, result)
        if not self.isVisible():
            self.hidden()  # shows nothing that would go when the page is left
        if isinstance(layer, ImageLayer) and version != data_version(layer):
            message += (
                f" {layer.name!r} was changed during the run: this comes from the pixels it had."
            )
        self.say(message)
        for written, step in latest_steps(self.viewer.layers).items():
            if written in before and step is not before[written]:
                self.undone.follow(written, message)
        self.session.step_done.emit()

    def _on_failed(self, error: Exception) -> None:
        self.say(
            f"This failed: {error}. Nothing was changed. The notification has the details; try "
            "other options, or report it.",
            problem=True,
        )
        raise error

    def _on_finished(self) -> None:
        if self.task is not None:
            self.task.deleteLater()
        self.task, self._source = None, None
        self.refresh()
        self.session.runs_changed.emit()


def _shape(layer: Layer) -> tuple[int, ...]:
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    return tuple(getattr(data, "shape", ()))


def _grows(widget: QWidget) -> bool:
    return widget.sizePolicy().verticalPolicy() == QSizePolicy.Policy.Expanding


def check_button(group: QButtonGroup, number: int) -> None:
    """Check button `number` of a group."""
    button = group.button(number)
    if button is not None:
        button.setChecked(True)
