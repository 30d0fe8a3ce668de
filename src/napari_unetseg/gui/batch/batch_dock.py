"""The Batch dock: the steps of one image, run on a folder of images."""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QModelIndex, QUrl
from qtpy.QtGui import QDesktopServices, QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFileDialog, QSizePolicy, QVBoxLayout, QWidget

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import expand_inputs
from napari_unetseg.core.models_io.foreign import NeedsTrust
from napari_unetseg.core.recipe import Batch, ImageRow, Recipe, read_recipe, summarise_batch
from napari_unetseg.core.recipe.batch_summary import IMAGES_TABLE, OBJECTS_TABLE
from napari_unetseg.core.recipe.draft import move_recipe
from napari_unetseg.core.recipe.recipe_files import SUFFIXES
from napari_unetseg.core.recipe.recipe_steps import ImageStep
from napari_unetseg.core.recipe.results_folder import RECIPE_FILE
from napari_unetseg.gui.batch.batch_axes import first_image
from napari_unetseg.gui.batch.batch_export import Words, WordsDialog, words_of
from napari_unetseg.gui.batch.batch_page import BatchPage
from napari_unetseg.gui.batch.batch_result_layers import (
    Look,
    look_at,
    replace_layers,
    result_layers,
)
from napari_unetseg.gui.batch.batch_run import Ended, Untrusted, run_and_read
from napari_unetseg.gui.shared.docking import ask_before_closing, open_as_tab, when_undocked
from napari_unetseg.gui.shared.layer_provenance import draft_of
from napari_unetseg.gui.shared.model_opener import ask
from napari_unetseg.gui.shared.save_dialog import ask_to_save
from napari_unetseg.gui.shared.session import Session, unwrapped
from napari_unetseg.gui.shared.task import Latest, Task

_KINDS = "Recipes (*.yaml *.yml)"
_UNSAVED = Path("RECIPE.yaml")
_FILE_KINDS = "Images (*)"


class BatchWidget(QWidget):
    """Run a recipe on many images.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Batch"
    help_text = "Repeat the steps of one image on a folder of images."

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__()
        self.viewer = unwrapped(napari_viewer)
        self.session = Session.of(self.viewer)
        self.task: Task | None = None
        self.dialog: WordsDialog | None = None
        self.path: Path | None = None
        self._scratch: Path | None = None
        self._folder = Path()
        self._out_is_ours = self._follows = True
        self._closed = self._trust = False
        self._untrusted: Untrusted | None = None
        self._recipe: Recipe | None = None
        self._first: tuple[Path, ImageStep] | None = None
        self._shown: list[Layer] = []
        self.page = BatchPage(self.viewer, self.help_text)
        self.editor, self.images = self.page.editor, self.page.images
        self.scroller = self.page.scroller
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.page)
        self.setMinimumWidth(280)
        # Otherwise napari adds a stretch below the page, which halves it.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setAcceptDrops(True)
        self._takes = self._asking(self._on_taken)
        self._takes.idle.connect(lambda: self.editor.expect_recipe(expected=False))
        self._files = self._asking(self._on_file)
        self._scans = self._asking(self._on_scanned)
        self._looks = self._asking(self._on_look)
        self._words = self._asking(self._on_words)
        self._heads = self._asking(self._on_head)
        self._connect()
        when_undocked(self, self.close_tool)
        open_as_tab(self)
        ask_before_closing(self, lambda: self.title if self.running else "")
        self.take()
        self.refresh()

    # State and actions

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self.task is not None

    @property
    def busy(self) -> bool:
        """Whether another thread is at work."""
        return self.running or any(one.busy for one in self._others())

    def take(self, layer: Layer | None = None) -> None:
        """Read the recipe of a layer, or of the picked one."""
        layer = layer or self.page.pick.layer()
        if layer is None:
            return
        self._follows, self.path = True, None
        try:
            draft = draft_of(layer, self.session, self.viewer.layers)
        except InputError as error:
            self.page.remark(str(error))
            return
        place = self._scratch_folder()
        remarks = " ".join(draft.remarks)
        self.editor.expect_recipe()
        self._takes.ask(lambda progress: (draft.recipe(place), place, remarks))

    def open_recipe(self, path: Path) -> None:
        """Open a recipe file."""
        self._files.ask(lambda progress: (read_recipe(path), path, f"Opened {path.name}."))

    def save_recipe(self, path: Path) -> None:
        """Save the recipe, with its model beside it."""
        recipe, folder = self.editor.recipe(), self._folder
        if recipe is not None:
            target = path if path.suffix.lower() in SUFFIXES else path.with_suffix(".yaml")
            self._files.ask(
                lambda progress: (move_recipe(recipe, folder, target), target, f"Saved {target}.")
            )

    def add(self, paths: Sequence[Path]) -> None:
        """Add images, or those of folders, to the list."""
        known = self.images.rows.paths
        if paths and not self.running:
            self._scans.ask(lambda progress: (tuple(paths), _with(known, expand_inputs(paths))))

    def remove(self) -> None:
        """Remove the chosen images from the list, or all if none is chosen."""
        if not self.running:
            chosen = set(self.images.chosen()) or set(range(len(self.images.rows.paths)))
            kept = [p for n, p in enumerate(self.images.rows.paths) if n not in chosen]
            self.images.rows.show_paths(kept)
            self.refresh()
            self._read_first()

    def run(self) -> None:
        """Run the recipe on all images; a second call while running does nothing."""
        batch = None if self.running else self._batch()
        if batch is None or not self._may_replace(batch):
            return
        self._start(batch, resume=self.page.keep.isChecked())

    def _start(self, batch: Batch, *, resume: bool) -> None:
        keep_model = batch.folder == self._scratch
        self.images.rows.begin()
        self.task = Task(
            lambda progress: run_and_read(
                batch, resume=resume, keep_model=keep_model, progress=progress
            ),
            self,
            name=f"{self.title} (UNet Segmentation)",
        )
        self.task.progressed.connect(self._on_progressed)
        self.task.shown.connect(self._on_row)
        self.task.returned.connect(self._on_ended)
        self.task.refused.connect(self._on_refused)
        self.task.failed.connect(self._on_failed)
        self.task.finished.connect(self._on_finished)
        self.page.bar.setRange(0, 0)
        self.page.say("Working...")
        self.refresh()
        self.session.runs_changed.emit()
        self.task.start()

    def cancel(self) -> None:
        """Stop the run; finished images are kept."""
        if self.task is not None:
            self.task.cancel()
            self.page.buttons["cancel"].setEnabled(False)
            self.page.say("Cancelled. Finished images are kept; Run all continues from there.")

    def look(self, number: int | None = None) -> None:
        """Show an image, or the chosen one, and its result as layers."""
        chosen = self.images.chosen() if number is None else [number]
        batch = self._batch()
        if batch is None or not self.images.rows.paths:
            return
        at = chosen[0] if chosen else 0
        path, row = self.images.rows.paths[at], self.images.rows.row_of(at)
        written = row is not None and row.state in ("done", "kept") and not self._changed(batch)
        if not self.running:
            self.page.say(f"Looking at {path.name}...")
        self._looks.ask(lambda progress: (path, look_at(batch, path, progress, written=written)))

    def export(self) -> None:
        """Show the recipe as a command line, a script and a paragraph."""
        batch = self._batch()
        if batch is not None:
            path, saved = self.path or _UNSAVED, self.path is not None
            self._words.ask(lambda progress: (words_of(batch, path), saved))

    def refresh(self) -> None:
        """Enable or disable the buttons; no other place does."""
        buttons, n = self.page.buttons, len(self.images.rows.paths)
        idle, there = not self.running, self._recipe is not None
        place = bool(self.page.out.text().strip())
        for name in ("open", "files", "folder", "take"):
            buttons[name].setEnabled(idle)
        buttons["take"].setEnabled(idle and self.page.pick.layer() is not None)
        buttons["save"].setEnabled(idle and there)
        buttons["export"].setEnabled(there)
        buttons["remove"].setEnabled(idle and n > 0)
        buttons["look"].setEnabled(there and n > 0)
        buttons["run"].setEnabled(idle and there and n > 0 and place)
        buttons["cancel"].setEnabled(not idle)
        buttons["cancel"].setVisible(not idle)
        buttons["show"].setEnabled(place and Path(self.page.out.text().strip()).is_dir())
        self.editor.text.setReadOnly(not idle)
        self.page.out.setEnabled(idle)
        self.page.bar.setVisible(not idle)
        background = self._recipe is not None and self._recipe.background is not None
        self.page.flattened.setVisible(background and there and bool(self._segments()))
        self.page.count.setText(self._counted())

    def close_tool(self) -> None:
        """Cancel all work and disconnect; the dock cannot be used afterwards."""
        if not self._closed:
            self._closed = True
            self.cancel()
            for one in self._others():
                one.forget()
            self.page.pick.close_events()
            self.session.step_done.disconnect(self._on_step, missing_ok=True)

    # Drops

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Accept files and folders."""
        data = None if event is None else event.mimeData()
        if event is not None and data is not None and data.hasUrls() and not self.running:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Open a dropped recipe; add other files to the list."""
        data = None if event is None else event.mimeData()
        if event is None or data is None:
            return
        event.acceptProposedAction()
        paths = [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]
        recipes = [path for path in paths if path.suffix.lower() in SUFFIXES]
        if recipes:
            self.open_recipe(recipes[0])
        self.add([path for path in paths if path not in recipes])

    # Wiring

    def _connect(self) -> None:
        slots: dict[str, Callable[[], None]] = {
            "take": self.take,
            "open": self._ask_open,
            "save": self._ask_save,
            "export": self.export,
            "files": self._ask_files,
            "folder": self._ask_folder,
            "remove": self.remove,
            "place": self._ask_place,
            "look": self.look,
            "run": self.run,
            "cancel": self.cancel,
            "show": self._show_folder,
        }
        for name, slot in slots.items():
            self.page.buttons[name].clicked.connect(lambda _=False, call=slot: call())
        self.editor.checked.connect(self._on_checked)
        self.editor.edited.connect(self._on_edited)
        self.page.pick.picked.connect(self._on_step)
        self.session.step_done.connect(self._on_step)
        self.page.out.textChanged.connect(lambda: self.refresh())
        self.page.out.textEdited.connect(lambda: self._on_place())
        self.images.doubleClicked.connect(self._on_double)
        self.images.clicked.connect(self._on_clicked)
        self.images.rows.modelReset.connect(lambda: self.refresh())
        self.page.axes_line.chosen.connect(self._on_axes)

    def _others(self) -> tuple[Latest, ...]:
        """Return what runs in other threads beside the run."""
        given = (self._takes, self._files, self._scans)
        return (*given, self._looks, self._words, self._heads)

    def _asking(self, slot: Callable[[Any], None]) -> Latest:
        latest = Latest(self)
        latest.answered.connect(slot)
        latest.refused.connect(self._on_refused)
        return latest

    def _scratch_folder(self) -> Path:
        """Return a folder for models without a file, deleted with the dock."""
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="napari-unetseg-recipe-"))
            weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        return self._scratch

    def _segments(self) -> bool:
        recipe = self._recipe
        return recipe is not None and (recipe.threshold is not None or recipe.model is not None)

    def _batch(self) -> Batch | None:
        """Return the batch shown on the page; None if there is no recipe."""
        recipe = self.editor.recipe()
        if recipe is None:
            return None
        return Batch(
            recipe,
            self.images.rows.paths,
            Path(self.page.out.text().strip() or "results"),
            self._folder,
            flattened=self.page.flattened.isChecked() and recipe.background is not None,
            trust=self._trust,
        )

    def _changed(self, batch: Batch) -> bool:
        """Whether the existing results belong to another recipe."""
        try:
            return read_recipe(batch.out / RECIPE_FILE).digest() != batch.recipe.digest()
        except InputError:
            return True

    def _may_replace(self, batch: Batch) -> bool:
        """Ask the user whether to replace results of another recipe, if there are any."""
        if not (batch.out / RECIPE_FILE).is_file() or not self._changed(batch):
            return True
        question = f"{batch.out} holds results of another recipe. Replace those of the same names?"
        return ask(self, "Replace results?", question)

    def _trusts(self, question: NeedsTrust) -> bool:
        """Ask the user whether to run a model that is a program."""
        self._trust = ask(self, "Run a program?", f"{question} Run it?")
        if not self._trust:
            self.page.say("The model was not run. Run all and Look at one ask again.", problem=True)
        return self._trust

    def _counted(self) -> str:
        n = len(self.images.rows.paths)
        if not n:
            return "Drop images or a folder here, or add them."
        return f"{n:,} image{'s' * (n != 1)}"

    # Answers of other threads

    def _on_step(self, *_: object) -> None:
        """Update the recipe from the newest result, unless the user edited or opened one."""
        if self._follows and not self.editor.by_hand and not self.running:
            self.take()
        self.refresh()

    def _on_taken(self, answer: tuple[Recipe, Path, str]) -> None:
        recipe, self._folder, remarks = answer
        self.editor.show_recipe(recipe)
        self.page.remark(remarks)

    def _on_file(self, answer: tuple[Recipe, Path, str]) -> None:
        recipe, self.path, message = answer
        self._folder, self._follows = self.path.parent, False
        self.editor.show_recipe(recipe)
        self.page.remark("")
        self.page.say(message)

    def _on_scanned(self, answer: tuple[tuple[Path, ...], tuple[Path, ...]]) -> None:
        given, paths = answer
        self.images.rows.show_paths(paths)
        if self._out_is_ours or not self.page.out.text().strip():
            self.page.out.setText(str(_place_for(given[0])))
        self.page.say("")
        self.refresh()
        self._read_first()

    def _on_look(self, answer: tuple[Path, Look | NeedsTrust]) -> None:
        path, look = answer
        if isinstance(look, NeedsTrust):
            paths = self.images.rows.paths
            if self._trusts(look) and path in paths:
                self.look(paths.index(path))
            return
        made = result_layers(look)
        replace_layers(self.viewer, self._shown, made)
        self._shown = made
        self.viewer.reset_view()
        if not self.running:
            origin = "saved result" if look.written else "computed just now, not saved"
            self.page.say(f"{look.path.name}: {origin}.")

    def _on_words(self, answer: tuple[Words, bool]) -> None:
        words, saved = answer
        self.dialog = WordsDialog(words, self, saved=saved)
        self.dialog.open()

    def _on_checked(self, recipe: Recipe | None) -> None:
        self._recipe = recipe
        self.refresh()
        self._read_first()

    def _read_first(self) -> None:
        """Show the axes of the first image, as the recipe reads them."""
        step = ImageStep() if self._recipe is None else self._recipe.image
        paths = self.images.rows.paths
        asked = (paths[0], step) if paths else None
        if asked == self._first:
            return
        self._first = asked
        if asked is None:
            self._heads.forget()
            self.page.axes_line.hide()
        else:
            # Lists and recipes change step by step: the last is enough.
            path = paths[0]
            self._heads.ask_soon(lambda progress: (path, first_image(path, step), step))

    def _on_head(self, answer: tuple[Path, Image | None, ImageStep]) -> None:
        self.page.axes_line.show_image(*answer)

    def _on_axes(self, step: ImageStep) -> None:
        """Keep other axes or channels in the recipe."""
        recipe = self.editor.recipe()
        if recipe is None:
            self.page.say("There is no recipe yet to keep the axes in.", problem=True)
        elif not self.running:
            self._on_edited()
            self.editor.show_recipe(recipe.model_copy(update={"image": step}))

    def _on_edited(self) -> None:
        self._follows = False

    def _on_place(self) -> None:
        self._out_is_ours = False

    def _on_clicked(self, index: QModelIndex) -> None:
        """Show why an image failed or may be wrong."""
        row = self.images.rows.row_of(index.row())
        if row is not None and row.message and not self.running:
            self.page.say(row.message, problem=row.state == "failed")

    def _on_double(self, index: QModelIndex) -> None:
        self.look(index.row())

    def _on_progressed(self, fraction: float, message: str) -> None:
        self.page.bar.setRange(0, 1000)
        self.page.bar.setValue(round(1000 * fraction))
        rows = self.images.rows
        done = rows.n_in("done", "kept", "failed")
        self.page.say(f"{done} of {len(rows.paths)} done. {message}")

    def _on_row(self, row: ImageRow) -> None:
        self.images.follow(row)

    def _on_ended(self, ended: Ended | Untrusted) -> None:
        if isinstance(ended, Untrusted):
            self._untrusted = ended
            return
        self.images.rows.end(ended.extra)
        self.images.show_first("failed")
        failed = any(row.state == "failed" for row in ended.rows)
        doubtful = sum(row.state != "failed" and bool(row.message) for row in ended.rows)
        measured = ended.batch.recipe.measurement is not None
        tables = f"{OBJECTS_TABLE} and {IMAGES_TABLE}" if measured else IMAGES_TABLE
        seen = "Click a failed image to see why." if failed else "Double-click an image to see it."
        if doubtful:
            seen = f"{doubtful} may be wrong (?): click to see why. {seen}"
        place = ended.batch.out.name
        message = (
            f"{summarise_batch(ended.rows)}. See {tables} in {place!r} (Show opens it). {seen}"
        )
        self.page.say(message, problem=failed)

    def _on_refused(self, error: InputError) -> None:
        self.page.say(str(error), problem=True)

    def _on_failed(self, error: Exception) -> None:
        self.page.say(
            f"This failed: {error}. Finished images are kept. The notification has the details.",
            problem=True,
        )
        raise error

    def _on_finished(self) -> None:
        if self.task is not None:
            self.task.deleteLater()
        self.task = None
        if self.images.rows.running:
            self.images.rows.end()
        self.refresh()
        self.session.runs_changed.emit()
        asked, self._untrusted = self._untrusted, None
        if asked is not None and self._trusts(asked.question):
            self._start(replace(asked.batch, trust=True), resume=asked.resume)

    # Dialogs

    def _ask_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a recipe", "", _KINDS)
        if path:
            self.open_recipe(Path(path))

    def _ask_save(self) -> None:
        start = str(self.path or "recipe.yaml")
        path = ask_to_save(self, "Save the recipe", start, _KINDS)
        if path is not None:
            self.save_recipe(path)

    def _ask_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Add images", "", _FILE_KINDS)
        self.add([Path(path) for path in paths])

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Add the images of a folder")
        self.add([Path(path)] if path else [])

    def _ask_place(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "A folder for the results")
        if path:
            self._out_is_ours = False
            self.page.out.setText(path)

    def _show_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(self.page.out.text().strip()))


def _with(known: Sequence[Path], new: Sequence[Path]) -> tuple[Path, ...]:
    """Return the images of both lists, each once, in their order."""
    return tuple(dict.fromkeys((*known, *new)))


def _place_for(given: Path) -> Path:
    """Return a folder for the results, beside the given folder and not inside it."""
    base = given if given.is_dir() else given.parent
    return base.parent / f"{base.name} results"


__all__ = ["BatchWidget"]
