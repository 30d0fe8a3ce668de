"""The Correct dock: manual tools, each one undo step that locks the pixels it changes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from napari.layers import Labels, Layer, Shapes
from napari.utils.events import disconnect_events
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QCheckBox, QPushButton

from napari_unetseg.core.corrections import along, ids_along
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import silent
from napari_unetseg.core.training.fill_volume import FillOptions
from napari_unetseg.gui.correct.canvas_hint import CanvasHint
from napari_unetseg.gui.correct.carry_object import CarriedNow, CarriedObject, CarryPanel
from napari_unetseg.gui.correct.click_objects import HINT, OFF, OUTLINING, REFINE, ObjectClicks
from napari_unetseg.gui.correct.click_panel import CLICK_KEY, ClickPanel
from napari_unetseg.gui.correct.click_scene import likely_image, may_be_clicked
from napari_unetseg.gui.correct.correct_acts import CorrectOptions, Place
from napari_unetseg.gui.correct.correct_hand import Hand, Keys, Marks
from napari_unetseg.gui.correct.correct_scene import (
    CorrectionResult,
    class_warning,
    corrected,
    cost_of,
    hidden_warning,
    numbers_of,
    parts_for,
    problem_of,
    refusal_of,
    scene_of,
    show_copy,
)
from napari_unetseg.gui.correct.correct_tools import (
    COMMANDS,
    OBJECT,
    OFTEN,
    OUTLINE,
    PLANES,
    TOOLS,
    ToolKind,
)
from napari_unetseg.gui.correct.extent_box import ExtentBox
from napari_unetseg.gui.correct.fill_stack import FilledLayer, fill_work, show_filled, stack_of
from napari_unetseg.gui.correct.find_similar_panel import FindSimilarPanel, FoundSimilar
from napari_unetseg.gui.correct.gathered_objects import Gathered
from napari_unetseg.gui.correct.locked_view import LockedView
from napari_unetseg.gui.correct.object_menu import ObjectMenu
from napari_unetseg.gui.correct.objects_of_classes import (
    SeparatedClasses,
    separate_work,
    show_separated,
)
from napari_unetseg.gui.correct.tool_panel import ToolPanel
from napari_unetseg.gui.shared.dock_help import text_button
from napari_unetseg.gui.shared.form import Form, stacked
from napari_unetseg.gui.shared.layer_boxes import AT_ONCE, LayerBoxes
from napari_unetseg.gui.shared.layer_choice import LayerChoice
from napari_unetseg.gui.shared.layers import is_input
from napari_unetseg.gui.shared.outlines_box import OutlinesBox
from napari_unetseg.gui.shared.preview import is_preview
from napari_unetseg.gui.shared.session import UNDOABLE_PIXELS
from napari_unetseg.gui.shared.stroke_layer import add_object_layer
from napari_unetseg.gui.shared.task import Work
from napari_unetseg.gui.shared.tool import Tool
from napari_unetseg.gui.train.fine_tune_dock import open_fine_tune

LOCKED_KEY = "W"
_READY = "Choose a tool, then click an object."
_NEXT = "Next: Measure; or Train on, with your corrections."

_STALE = "The labels changed during the computation, so nothing was done. Please repeat it."
_CLICKING = "Click objects: click one, or drag a box. Esc: end."
_OUTLINED = "Click: more. Shift+click: less. Enter: keep. Esc: drop."
_NOWHERE = "There is no object there: click on one."


class CorrectWidget(Tool[CorrectOptions]):
    """Correct the objects of a Labels layer by hand.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Correct"
    help_text = (
        "Fix objects by hand. Ctrl+Z undoes. Objects you fix or approve are locked: later runs "
        "leave them alone."
    )
    pick_text = "Labels"
    runs_on_labels = True
    at_sight = ()
    nothing_text = (
        "There are no labels yet. Press Click objects, run Threshold or Predict, or open some."
    )

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(napari_viewer, CorrectOptions())
        self._kind: ToolKind | None = None
        self._boxes: LayerBoxes | None = None
        self._layer: Labels | None = None
        self._work: Work | None = None
        self._searching = False
        self.keys, self.marks = Keys(self.viewer), Marks(self.viewer)
        self.gathered = Gathered(self.marks)
        self.locked_view = LockedView(self.viewer, self.session)
        self.hand = Hand(self.viewer)
        self.hand.clicked.connect(self._on_clicked)
        self.hand.drawn.connect(self._on_drawn)
        self.hand.moved.connect(self._on_moved)
        self.hand.left.connect(self.leave)
        # A run that is just ending blocks the next one.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._on_soon)
        self._then: Any = None
        self.viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        self.extent = ExtentBox()
        self.shapes = LayerChoice(
            self.viewer, lambda layer: isinstance(layer, Shapes) and not is_preview(layer)
        )
        self.shapes.setToolTip(
            "The layer whose polygons, rectangles and ellipses From shapes draws."
        )
        image = LayerChoice(self.viewer, may_be_clicked)
        self.clicks = ObjectClicks(
            self.viewer,
            self.session,
            self.keys,
            image=image.layer,
            boxes=lambda: None if self._boxes is None else self._boxes.boxes(),
            busy=lambda: not self._searching and self._busy(),
            cancel=self._cancel_run,
            parent=self,
        )
        self.clicks.said.connect(lambda text, problem: self.say(text, problem=problem))
        self.clicks.kept.connect(self._on_kept)
        self.click_panel = ClickPanel(self.clicks, image)
        self.click_panel.toggled.connect(self.click_objects)
        self.click_panel.new_wanted.connect(lambda: self.new_objects())
        self.carry_panel, self.similar = CarryPanel(self), FindSimilarPanel(self)
        self.hint = CanvasHint(self.viewer)
        self.menu = ObjectMenu(
            self.viewer,
            self,
            layer=lambda: self.labels_layer if self._takes_menu() else None,
            locks=self.session.locks,
            use=self._use_on,
        )
        self.panel = ToolPanel(self.viewer, self)
        self.panel.adopt("click", self.click_panel.button)
        self.panel.pressed.connect(self.press)
        self.finish_button = QPushButton("Split at the clicked points (Enter)")
        self.finish_button.clicked.connect(lambda: self.finish())
        self.show_locked = QCheckBox("Show locked pixels")
        self.show_locked.setToolTip(
            "Highlight what you drew or approved (white) and erased (red). Key over the canvas: "
            f"{LOCKED_KEY}."
        )
        self.show_locked.toggled.connect(self._on_show_locked)
        self.outlines = OutlinesBox(lambda: [self._layer])
        self.train_on_button = QPushButton("Train on these corrections")
        self.train_on_button.setToolTip(
            "Fine-tune the model that predicted these labels on your corrections. Opens Train on "
            "and starts."
        )
        self.train_on_button.clicked.connect(lambda: self._train_on())
        self.fill = Form(FillOptions())
        self.fill_button = QPushButton("Fill the stack from these planes")
        self.fill_button.setToolTip(
            "Paint or correct all objects of one or a few planes, then press: a UNet learns from "
            "these planes and finds the objects of the whole stack in 3D. What you painted stays "
            "and is locked. Correct the objects of another plane and press again."
        )
        self.fill_button.clicked.connect(lambda: self._fill())
        self.objects_button = text_button(
            "Make objects of these classes",
            "Give every connected part of a class a number of its own, in a new layer.",
            self._make_objects,
        )
        groups = self.panel.groups
        self.stack_tools = stacked(self.fill_button, self.fill.page)
        self.assemble(
            rows=[("Act on", self.extent), ("Shapes", self.shapes)],
            lead=[self.click_panel, self.carry_panel, self.similar],
            extras=[self.objects_button, groups[OFTEN], self.finish_button, self.outlines],
            more=[
                (OBJECT, groups[OBJECT]),
                (OUTLINE, groups[OUTLINE]),
                ("", self.form),
                (COMMANDS, groups[COMMANDS]),
                (PLANES, groups[PLANES]),
                ("The rest of the stack", self.stack_tools),
                ("Your corrections", stacked(self.show_locked, self.train_on_button)),
            ],
            forms={"filling": self.fill},
        )
        self.more.button.toggled.connect(self._show_fitting)
        self.clicks.changed.connect(self._on_clicks)
        self.run_button.hide()
        self.shapes.picked.connect(self._on_shapes)
        image.picked.connect(lambda: self.refresh())
        self.session.models_changed.connect(self.refresh)

    # Definition of the tool

    @classmethod
    def accepts(cls, layer: Layer) -> bool:
        return isinstance(layer, Labels) and is_input(layer)

    def work(self, layer: Layer, options: CorrectOptions) -> Work:
        if self._work is None:
            raise InputError("Choose a tool first.")
        return self._work

    def show_on_the_way(self, thing: Any) -> None:
        if isinstance(thing, CarriedNow):
            self.carry_panel.show_plane(thing)

    def show_result(self, layer: Layer, options: CorrectOptions, result: Any) -> str:
        if isinstance(result, FilledLayer):
            return show_filled(self.session, self.viewer.layers, result)
        if isinstance(result, SeparatedClasses):
            made, message = show_separated(self.session, self.viewer.layers, result)
            self.pick.pick(made)
            self.viewer.layers.selection.active = made
            return message
        if isinstance(result, FoundSimilar):
            return self.similar.take(result)
        if isinstance(result, CarriedObject):
            return self.carry_panel.take(result)
        if layer is not self._layer or self._boxes is None:
            return "Another layer was chosen meanwhile, so nothing was done. Repeat it there."
        if isinstance(result, CorrectionResult):
            return self._apply(layer, result)
        boxes, state = result
        if state != self.session.locks(layer).state():
            self._soon.start(0)  # a stroke changed the labels meanwhile: search again
            return "Finding the objects..."
        self._boxes.take(boxes)
        if self._then is not None:
            self._soon.start(0)
        return self._hint() or class_warning(layer) or _READY

    def layer_changed(self, layer: Layer | None) -> None:
        super().layer_changed(layer)
        self.leave()
        self.similar.discard()
        self._unbind()
        if self._layer is not None:
            disconnect_events(self._layer.events, self)
        if self._boxes is not None:
            self._boxes.close_events()
        self._boxes, self._then = None, None
        self._layer = layer if isinstance(layer, Labels) else None
        if self._layer is not None:
            problem = problem_of(self._layer)
            if problem:
                self.say(problem, problem=True)
            else:
                self.unsay()
                warning = class_warning(self._layer)
                if warning:
                    self.say(warning, problem=True)
                self._boxes = LayerBoxes(self._layer)
            self._layer.events.n_edit_dimensions.connect(self._fill_extent)
            self.session.locks(self._layer)
        self._fill_extent()
        if self.isVisible():
            self.shown()
        self.refresh()

    def shown(self) -> None:
        """Bind the keys, and search the objects of a large layer in advance."""
        layer = self._layer
        self.similar.look()
        self.outlines.read()
        if layer is None:
            return
        if self._boxes is not None:
            calls: dict[str, Callable[[], None]] = {
                kind.key: partial(self.press, kind)
                for kind in TOOLS
                if layer.ndim > 2 or not kind.planes
            }
            calls[LOCKED_KEY] = self.show_locked.toggle
            calls[CLICK_KEY] = self.click_objects
            bound = self.keys.bind(layer, calls)
            self.panel.show_keys(bound)
            self.click_panel.show_key(bound=CLICK_KEY in bound)
            self.menu.listen()
            self._soon.start(0)
        self._on_show_locked(self.show_locked.isChecked())

    def hidden(self) -> None:
        self.leave()
        self.menu.stop()
        self.similar.hide_proposals()
        self._unbind()
        self.locked_view.hide()
        super().hidden()

    def refresh(self) -> None:
        super().refresh()
        self._searching = self._searching and self.running
        self.similar.refresh()
        self.carry_panel.refresh()
        self.panel.set_ready(not self.running and self._boxes is not None)
        self._show_fitting()
        free = not self.running or self._searching
        images = self.click_panel.image.layer() is not None
        self.click_panel.button.setEnabled(free and images)
        self.click_panel.new_button.setEnabled(free and images)
        self.panel.show_current(self._kind)
        self.cancel_button.setVisible(self.running)
        classes = self._layer is not None and bool(class_warning(self._layer))
        self.objects_button.setVisible(classes)
        self.objects_button.setEnabled(classes and not self.running and self._boxes is not None)
        self.show_locked.setEnabled(self._layer is not None)
        self.outlines.setEnabled(self._layer is not None)
        found_boxes = self._layer is not None and self.session.current is not None
        self.train_on_button.setVisible(found_boxes)
        self.train_on_button.setEnabled(found_boxes and not self.running)
        stack = stack_of(self.viewer.layers, self._layer) is not None
        self.stack_tools.setVisible(stack)
        self.fill_button.setEnabled(stack and not self.running)
        self.finish_button.setVisible(self._kind is not None and self._kind.hand == "seeds")
        self.finish_button.setEnabled(not self.running and self.gathered.can_divide)

    def close_tool(self) -> None:
        if not self._closed:
            self._soon.stop()
            self._then = None
            disconnect_events(self.viewer.dims.events, self)
            self.session.models_changed.disconnect(self.refresh)
            self.shapes.close_events()
            self.panel.close_panel()
            self.click_panel.image.close_events()
            self.similar.discard()
            self.carry_panel.hide_planes()
            if self._layer is not None:
                disconnect_events(self._layer.events, self)
            if self._boxes is not None:
                self._boxes.close_events()
        super().close_tool()

    # Actions

    @property
    def labels_layer(self) -> Labels | None:
        """The layer to correct, if its objects can be corrected."""
        return self._layer if self._boxes is not None else None

    def begin(self, work: Work) -> None:
        """Run a computation of a panel; `show_result` hands its result back to it."""
        if not self._busy():
            self._work = work
            self.run()

    def work_on_labels(self, make: Callable[[Labels], Work]) -> Work | None:
        """Return the computation that a panel makes of the labels; None, with a message, if none.

        The object in the making is kept first.
        """
        layer = self.labels_layer
        if layer is None:
            self.say(self.nothing_text, problem=True)
            return None
        self.finish_clicks()
        try:
            if warning := class_warning(layer) or hidden_warning(layer):
                raise InputError(warning)
            return make(layer)
        except InputError as error:
            self.say_error(error)
            return None

    def finish_clicks(self) -> None:
        """Keep the object in the making."""
        self.clicks.keep()

    @property
    def kind(self) -> ToolKind | None:
        """The active tool."""
        return self._kind

    def press(self, kind: ToolKind) -> None:
        """Activate a tool, deactivate it, or run it at once if it needs no click."""
        layer, same = self._layer, kind is self._kind
        self.leave()
        # Qt checks a clicked button; only the active tool stays checked.
        self.panel.show_current(None)
        if layer is None or self._boxes is None or same or self._busy():
            return
        options = self.form.options
        if self._refused(kind, layer):
            return
        if kind.hand == "now" or (kind.every and options.target == "every object"):
            self._do(kind, (), ())
            return
        self._kind = kind
        self.hand.take(layer, draws=kind.hand in ("each", "several", "line"))
        self.keys.bind_over(layer, "Escape", self._escape)
        self.keys.bind_over(layer, "Enter", self.finish)
        self.hint.show(f"{kind.text}: {kind.hint} Esc: end.")
        self.say(kind.hint)
        self.refresh()

    def click_objects(self) -> None:
        """Switch the mode in which objects are clicked on or off; new labels are made for it."""
        on = self.clicks.layer is not None
        self.leave()
        # Qt checks a clicked button; only the mode itself keeps it checked.
        self.click_panel.look()
        if on or (self.running and not self._searching):
            return
        if self._layer is None and not self.new_objects():
            return
        layer, choice = self._layer, self.click_panel.image
        if layer is None:
            return
        problem = problem_of(layer)
        likely = None if problem else likely_image(self.viewer.layers, layer)
        if likely is not None:
            choice.pick(likely)
        try:
            if problem:
                raise InputError(problem)
            self.clicks.start(layer)
        except InputError as error:
            self.say_error(error)

    def begin_clicks(self) -> None:
        """Switch that mode on, with new labels unless the chosen ones can be clicked into."""
        if self.clicks.layer is not None:
            return
        if self._layer is not None and not self._layer.metadata.get("truth"):
            self.click_objects()
        if self.clicks.layer is None and self.new_objects():
            self.click_objects()

    def new_objects(self) -> bool:
        """Add an empty Labels layer over the image, and return whether there is one now."""
        image = self.click_panel.image.layer()
        if image is None:
            self.say("Open an image first: objects are found in it.", problem=True)
            return False
        try:
            layer = add_object_layer(self.viewer, image)
        except MemoryError:
            self.say(
                f"The memory does not hold labels of {image.name!r}. Crop a part of the image, and "
                "click on that.",
                problem=True,
            )
            return False
        self.pick.pick(layer)
        self.viewer.layers.selection.active = layer
        return True

    def leave(self) -> None:
        """Deactivate the tool; napari's own tools work as before."""
        self.clicks.stop()
        if self._kind is None:
            return
        self._kind = None
        self.hint.hide()
        self.hand.let_go()
        self.gathered.clear()
        layer = self._layer
        if layer is not None:
            self.keys.release_only(layer, ("Escape", "Enter"))
        self.say("")
        self.refresh()

    def _escape(self) -> None:
        """Cancel the run, or else deactivate the tool and show what comes next."""
        if not self._cancel_run():
            active = self._kind is not None
            self.leave()
            if active:
                self.say(_NEXT)

    def _cancel_run(self) -> bool:
        """Cancel a run that the user began, and return whether there was one."""
        runs = self.running and not self._searching
        if runs:
            self.cancel()
        return runs

    def finish(self) -> None:
        """Split at the clicked points."""
        kind = self._kind
        if kind is None or kind.hand != "seeds" or self.running:
            return
        if not self.gathered.can_divide:
            self.say("Click at least two points in one object first.", problem=True)
            return
        self._do(kind, *self.gathered.take())

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Give Esc and Enter the same effect in the dock as over the canvas."""
        key = None if event is None else event.key()
        clicking = self.clicks.layer is not None
        if key == Qt.Key.Key_Escape:
            (self.clicks.drop if clicking else self._escape)()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            (self.clicks.keep_soon if clicking else self.finish)()
        else:
            super().keyPressEvent(event)

    # Mouse

    def _on_clicked(self, place: Place | None) -> None:
        kind, layer = self._kind, self._layer
        if kind is None or layer is None or self._busy():
            return
        found = [] if place is None else numbers_of(layer, [place])
        if place is None or not found:
            self.say(f"{_NOWHERE} {self._hint()}")
            return
        if kind.hand in ("click", "each"):
            self._do(kind, found, [place])
        elif kind.hand == "several":
            self._add(kind, found, [place])
        elif kind.hand == "seeds":
            self._seed(layer, found[0], place)
        else:
            self.say(kind.hint)

    def _takes_menu(self) -> bool:
        layer = self._layer
        return not self.running and layer is not None and layer.visible

    def _use_on(self, kind: ToolKind, number: int, place: Place) -> None:
        """Use a tool on an object from its menu: at once, or armed with its first click done."""
        layer = self._layer
        self.finish_clicks()
        if layer is None or self._busy() or self._refused(kind, layer):
            return
        if kind.hand in ("click", "each"):
            self._do(kind, [number], [place])
            return
        if kind is not self._kind:
            self.press(kind)
        if kind.hand != "line":
            self._on_clicked(place)

    def _on_moved(self, places: list[Place]) -> None:
        if self._layer is None or self._kind is None or not places:
            return
        flat = self.viewer.dims.ndisplay == 2
        line = [tuple(map(float, at)) for at in along(places)] if flat else places
        self.marks.show(self._layer, line)

    def _on_drawn(self, places: list[Place]) -> None:
        kind, layer = self._kind, self._layer
        if kind is None or layer is None or self._busy() or not places:
            return
        flat = self.viewer.dims.ndisplay == 2
        found = ids_along(layer.data, places) if flat else numbers_of(layer, places)
        if not found:
            self.marks.remove()
            self.say(f"{_NOWHERE} {self._hint()}")
        elif kind.hand == "several":
            self._add(kind, found, places[-1:])
        else:
            self.marks.remove()
            self._do(kind, found, places)

    def _add(self, kind: ToolKind, numbers: list[int], places: list[Place]) -> None:
        """Collect objects to merge; two are enough."""
        layer = self._layer
        if layer is None:
            return
        hint = self.gathered.add(layer, numbers, places)
        if hint:
            self.say(hint)
        else:
            self._do(kind, *self.gathered.take())

    def _seed(self, layer: Labels, number: int, place: Place) -> None:
        """Collect points in one object, at which to split it."""
        try:
            self.say(self.gathered.seed(layer, number, place))
        except InputError as error:
            self.say_error(error)
            return
        self.refresh()

    # Corrections

    def _do(self, kind: ToolKind, numbers: Sequence[int], places: Sequence[Place]) -> None:
        """Correct the given objects, or every one, after finding their boxes."""
        layer, found_boxes = self._layer, self._boxes
        if layer is None or found_boxes is None or self._busy():
            return
        boxes = found_boxes.boxes()
        # A stroke leads over background, too.
        inside = places if len(places) == 1 or kind.hand == "seeds" else ()
        if boxes is not None and not all(found_boxes.holds(number, inside) for number in numbers):
            found_boxes.forget()
            boxes = found_boxes.boxes()
        if boxes is None:
            self._then = partial(self._do, kind, list(numbers), list(places))
            self._search()
            return
        try:
            scene = scene_of(
                self.viewer,
                layer,
                boxes,
                self.form.options,
                whole=kind.name == "renumber" or kind.planes,
                shapes=self.shapes.layer() if kind.name == "shapes" else None,
            )
            parts = parts_for(kind, scene, boxes, numbers, layer)
        except InputError as error:
            self.say_error(error)
            return
        locks = self.session.locks(layer)
        all_of_them = kind.every and not numbers
        spare = locks.pixels() if all_of_them and scene.options.spare else None
        state = locks.state()
        work = partial(corrected, kind, scene, parts, places, layer.data, state, spare)
        self._carry_out(layer, work, cost_of(parts) if kind.name != "view" else scene.labels.size)

    def _carry_out(self, layer: Labels, work: Any, cost: int) -> None:
        if cost > AT_ONCE:
            self._work = work
            self.run()
            return
        try:
            self.say(self._apply(layer, work(silent)))
        except InputError as error:
            self.say_error(error)

    def _apply(self, layer: Layer, result: CorrectionResult) -> str:
        change = result.change
        locks = self.session.locks(layer)
        if result.state != locks.state() or (layer.data[change.index] != change.before).any():
            return _STALE
        if len(change) > UNDOABLE_PIXELS:
            return (
                f"This would change {len(change):,} pixels, more than can be undone "
                f"({UNDOABLE_PIXELS:,}). Act on less: a plane, or the objects you click."
            )
        if result.is_empty:
            return " ".join(filter(None, [result.message(), self._hint()]))
        if result.kind.name == "unlock":
            locks.unlock(result.approved)
        elif result.kind.locks:
            locks.correct(change.index, change.after, result.approved)
        else:
            locks.write(change.index, change.after)
        if result.kind.name != "unlock":
            self.undone.follow(layer, result.message())
        show_copy(self.viewer, layer, result)
        return " ".join(filter(None, [result.message(), self._hint()]))

    def _search(self) -> None:
        """Find the objects in another thread."""
        layer, found_boxes = self._layer, self._boxes
        if layer is None or found_boxes is None or self.running:
            return
        search, state = found_boxes.search(), self.session.locks(layer).state()
        self._work = lambda progress: (search(progress), state)
        self._searching = True
        self.run()
        self.say("Finding the objects; the tools are ready afterwards...")

    def _on_soon(self) -> None:
        """Continue the action that waited for the boxes, or search them."""
        found_boxes = self._boxes
        if found_boxes is None or self.running or self._closed:
            return
        if found_boxes.boxes() is None:
            self._search()
            return
        then, self._then = self._then, None
        if then is not None:
            then()

    def _busy(self) -> bool:
        if self.running:
            self.say("The last step is still running: wait a moment, or cancel it.")
        return self.running

    # Wiring

    def _refused(self, kind: ToolKind, layer: Labels) -> bool:
        """Check whether a tool cannot be used now, and show the reason."""
        refusal = refusal_of(kind, layer, self.viewer.dims.ndisplay)
        if refusal:
            self.say(refusal, problem=True)
        else:
            self.unsay()
        return bool(refusal)

    def _hint(self) -> str:
        if self.clicks.layer is not None:
            return HINT
        return self._kind.hint if self._kind is not None else ""

    def _fill(self) -> None:
        """Fill the stack from the planes with locked objects."""
        layer = self._layer
        source = stack_of(self.viewer.layers, layer)
        if layer is None or source is None or self._busy():
            return
        self.leave()
        self._work = fill_work(self.session, layer, source, self.fill.options)
        self.run()

    def _make_objects(self) -> None:
        """Make objects of the classes in the layer."""
        layer = self._layer
        if layer is not None and not self._busy():
            self.leave()
            self._work = separate_work(layer)
            self.run()

    def _train_on(self) -> None:
        layer = self._layer
        if layer is not None and not open_fine_tune(self.viewer, layer):
            self.say("Open the dock Train on (Plugins menu) to train on.", problem=True)

    def _unbind(self) -> None:
        self.keys.release()
        self.panel.show_keys(())

    def _on_ndisplay(self) -> None:
        kind = self._kind
        if kind is not None and kind.flat and self.viewer.dims.ndisplay == 3:
            self.leave()
            self.say(f"{kind.text} needs the 2D view, so it was switched off.", problem=True)

    def _on_show_locked(self, on: bool) -> None:
        if on and self._layer is not None and self._boxes is not None and self.isVisible():
            self.locked_view.show(self._layer)
        else:
            self.locked_view.hide()

    def _fill_extent(self) -> None:
        self.form.layout.setRowVisible(self.extent, self.extent.show_layer(self._layer))
        self._on_shapes()

    def _on_shapes(self, layer: Layer | None = None) -> None:
        there = self.shapes.layer() is not None
        self.form.layout.setRowVisible(self.shapes, there)
        self.panel.buttons["shapes"].setVisible(there)

    def _on_kept(self, sentence: str) -> None:
        if self._layer is not None:
            self.undone.follow(self._layer, sentence)

    def _on_clicks(self) -> None:
        """Show the state of Click objects, on the canvas as well."""
        self._show_fitting()
        if self.clicks.layer is not None:
            self.hint.show(_OUTLINED if self.clicks.state.current is not None else _CLICKING)
        elif self._kind is None:
            self.hint.hide()
            self._unhint()

    def _unhint(self) -> None:
        """Drop the hint of Click objects, which is off, from the end of the message."""
        text = self.message.text()
        for hint in (HINT, REFINE, OUTLINING):
            if text.endswith(hint):
                self.say(text.removesuffix(hint).strip() or OFF)

    def _show_fitting(self, event: object = None) -> None:
        """Show what applies to the labels; proposals are at hand where objects are clicked."""
        self.panel.groups[PLANES].setVisible(self._layer is not None and self._layer.ndim > 2)
        more = self.more.unfolded or self.clicks.layer is not None
        self.click_panel.new_button.setVisible(more)
        self.carry_panel.setVisible(more and self.carry_panel.applies)
        self.similar.setVisible(more or self.similar.has_proposals)


__all__ = ["LOCKED_KEY", "CorrectWidget"]
