"""The Models dock: models of the session, of the user's folder, and recently opened ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QGridLayout,
    QInputDialog,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io.metadata_text import metadata_lines
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.models_io.foreign import (
    ModelTestResult,
    NeedsTrust,
    describe_model,
    open_model,
    self_test,
)
from napari_unetseg.core.models_io.native.export_package import ExportOptions, export
from napari_unetseg.gui.shared.dock_help import About
from napari_unetseg.gui.shared.docking import open_as_tab, when_undocked
from napari_unetseg.gui.shared.form import Form
from napari_unetseg.gui.shared.message_line import MessageLine
from napari_unetseg.gui.shared.model_choice import HEADING
from napari_unetseg.gui.shared.model_opener import FILES, Opener, ask
from napari_unetseg.gui.shared.more import More
from napari_unetseg.gui.shared.save_dialog import ask_to_save
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.style import FOCUS
from napari_unetseg.gui.shared.task import Latest
from napari_unetseg.gui.shared.user_models import shelf

_WHAT = Qt.ItemDataRole.UserRole
_STEP = "    "
_LOSES_FILE = "It is deleted permanently. Models loaded from it stay until the window is closed."
_LOSES_MODEL = (
    "It is removed from this session. Unless it was exported or saved with a project, it is gone."
)


class ModelsWidget(QWidget):
    """Show, load, test, rename, export and delete models.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Models"
    help_text = "Show, load, test, export, rename or delete the models you can use."

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__()
        self.session = Session.of(napari_viewer)
        self._closed = False
        self._opener = Opener(self)
        self._opener.opened.connect(self._on_opened)
        self._opener.refused.connect(self._on_refused)
        self._looks = Latest(self)
        self._looks.answered.connect(self._on_facts)
        self._looks.refused.connect(self._on_no_facts)
        self._work = Latest(self)
        self._work.answered.connect(self._on_done)
        self._work.refused.connect(self._on_refused)
        self._build()
        self.session.models_changed.connect(self.fill)
        when_undocked(self, self.close_tool)
        open_as_tab(self)
        self.fill()

    def close_tool(self) -> None:
        """Disconnect from the session."""
        if not self._closed:
            self._closed = True
            self.session.models_changed.disconnect(self.fill)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Refresh the list when the dock becomes visible."""
        super().showEvent(event)
        self.fill()

    def chosen(self) -> TrainedModel | Path | None:
        """Return the chosen model of the session, or the path of a file."""
        item = self.list.currentItem()
        return None if item is None else item.data(_WHAT)

    def fill(self) -> None:
        """List all models, and keep the choice."""
        kept, library = self.chosen(), shelf()
        folder = library.folder
        own = [path for path in library.files() if folder is not None and path.parent == folder]
        last = [
            path for path in library.files() if path not in own and not shipped.shipped_name(path)
        ]
        groups: dict[str, list[tuple[str, str, TrainedModel | Path]]] = {
            "In this session": [
                (model.name, "", model)
                for model in self.session.models
                if not shipped.name_of_model(model)
            ],
            HEADING: [
                (name, shipped.LINES.get(name, ""), shipped.path_of(name))
                for name in shipped.names()
            ],
            "In your folder": [(path.name, "", path) for path in own],
            "Opened last": [(path.name, str(path.parent), path) for path in last],
        }
        with QSignalBlocker(self.list):
            self.list.clear()
            for heading, group in groups.items():
                self._add_group(heading, group, kept)
        if self.chosen() is None:
            self._show_facts()
        self.folder.setText("No folder chosen." if folder is None else f"Folder: {folder}")
        self._refresh()

    def load(self) -> None:
        """Load the chosen file into the session."""
        path = self.chosen()
        if isinstance(path, Path):
            self.open(path)

    def open(self, path: Path) -> None:
        """Load a file into the session."""
        self.say(f"Reading {path.name}...")
        self._opener.open(path)

    def test(self) -> None:
        """Run the test example in the chosen file."""
        path = self.chosen()
        if isinstance(path, Path):
            self.say(f"Testing {path.name}...")
            self._work.ask(lambda progress: _tested(path, trust=False))

    def export_to(self, path: Path, options: ExportOptions) -> None:
        """Export the chosen model for other programs."""
        chosen = self.chosen()
        if chosen is not None:
            self.say(f"Writing {path.name}...")
            self._work.ask(lambda progress: _exported(chosen, path, options))

    def rename(self, name: str) -> None:
        """Rename the chosen file, or the chosen model of the session."""
        what = self.chosen()
        if isinstance(what, Path):
            self._try(lambda: self._choose(shelf().rename(what, name)))
        elif what is not None:
            self._try(lambda: self._choose(self.session.rename_model(what, name)))

    def delete(self) -> None:
        """Delete the chosen file, or the chosen model of the session, after a confirmation."""
        what = self.chosen()
        if isinstance(what, Path):
            if ask(self, f"Delete {what.name}?", _LOSES_FILE):
                self._try(lambda: _deleted(what))
        elif what is not None and ask(self, f"Delete {what.name}?", _LOSES_MODEL):
            self.session.drop_model(what)
            self.say(f"Deleted {what.name}.")

    def use_folder(self, folder: Path) -> None:
        """List the models of another folder."""
        self._try(lambda: _used(folder))

    def say(self, message: str, *, problem: bool = False) -> None:
        """Show a message under the buttons."""
        self.message.say(message, problem=problem)

    def _build(self) -> None:
        about = About(self.title, self.help_text, self)
        self.folder, self.message = QLabel(), MessageLine()
        self.folder.setWordWrap(True)
        self.list = QListWidget()
        self.list.setMinimumHeight(110)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.currentRowChanged.connect(self._on_chosen)
        self.list.itemDoubleClicked.connect(lambda item: self.load())
        self.facts = QPlainTextEdit()
        self.facts.setReadOnly(True)
        self.facts.setPlaceholderText("Select a model to see its details.")
        self.load_button = _button("Load", "Load it into this session, for Predict.", self.load)
        self.test_button = _button(
            "Test",
            "Run the test example in the file and compare the output with the expected one.",
            self.test,
        )
        self.export_button = _button(
            "Export...", "Write a bioimage.io package for other programs.", self._ask_export
        )
        self.rename_button = _button(
            "Rename...", "Rename the file, or the model of this session.", self._ask_rename
        )
        self.delete_button = _button(
            "Delete...",
            "Delete the file, or the model of this session, after a confirmation.",
            self.delete,
        )
        self.open_button = _button("Open file...", "Load a model from anywhere.", self._ask_open)
        self.folder_button = _button("Folder...", "Choose your folder of models.", self._ask_folder)
        rare = QWidget()
        buttons, others = QGridLayout(), QGridLayout(rare)
        others.setContentsMargins(0, 0, 0, 0)
        for number, button in enumerate((self.load_button, self.open_button, self.export_button)):
            buttons.addWidget(button, 0, number)
        kept = (self.test_button, self.rename_button, self.delete_button, self.folder_button)
        for number, button in enumerate(kept):
            others.addWidget(button, *divmod(number, 2))
        self.more = More()
        self.more.add("", rare)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        for widget in (about, self.list, self.folder):
            column.addWidget(widget)
        column.addLayout(buttons)
        column.addWidget(self.more)
        column.addWidget(self.message)
        column.addWidget(self.facts, 1)
        self.setMinimumWidth(280)
        self.setStyleSheet(FOCUS)

    def _add_group(
        self,
        heading: str,
        models: Sequence[tuple[str, str, TrainedModel | Path]],
        kept: TrainedModel | Path | None,
    ) -> None:
        """List models under a heading, each with its name and an optional line below it."""
        if not models:
            return
        head = QListWidgetItem(heading)
        # Enabled, so that it is legible; it cannot be chosen.
        head.setFlags(Qt.ItemFlag.ItemIsEnabled)
        font = head.font()
        font.setBold(True)
        head.setFont(font)
        self.list.addItem(head)
        for name, line, what in models:
            self._add(name, line, what)
            if what == kept:
                self.list.setCurrentRow(self.list.count() - 1)

    def _add(self, name: str, line: str, what: TrainedModel | Path) -> None:
        item = QListWidgetItem(f"{name}\n    {line}" if line else name)
        item.setData(_WHAT, what)
        item.setToolTip(str(what) if isinstance(what, Path) else name)
        self.list.addItem(item)

    def _refresh(self) -> None:
        what = self.chosen()
        is_file = isinstance(what, Path)
        ships = isinstance(what, Path) and bool(shipped.shipped_name(what))
        for button in (self.load_button, self.test_button):
            button.setEnabled(is_file)
        for button in (self.rename_button, self.delete_button):
            button.setEnabled(what is not None and not ships)
        ours = isinstance(what, TrainedModel) and bool(what.state)
        self.export_button.setEnabled(ours or is_file)

    def _on_chosen(self, row: int) -> None:
        self.say("")  # it was about another one
        self._refresh()
        self._show_facts()

    def _show_facts(self) -> None:
        what = self.chosen()
        if isinstance(what, Path):
            self._looks.ask(lambda progress: metadata_lines(describe_model(what), step=_STEP))
        elif what is not None:
            self._looks.forget()
            self.facts.setPlainText("\n".join(metadata_lines(_facts(what), step=_STEP)))
        else:
            self._looks.forget()
            self.facts.clear()

    def _on_facts(self, lines: list[str]) -> None:
        self.facts.setPlainText("\n".join(lines))

    def _on_no_facts(self, error: InputError) -> None:
        self.facts.setPlainText(str(error))

    def _on_opened(self, model: TrainedModel, path: Path) -> None:
        if not shipped.shipped_name(path):
            self._try(lambda: shelf().opened(path))
        self.session.use_model(model)
        self.say(f"Loaded {model.name}. Next: Predict runs it.")

    def _on_done(self, answer: "str | _Untrusted") -> None:
        if isinstance(answer, str):
            self.say(answer, problem="FAILED" in answer)
            self.fill()
        elif ask(self, "Run a program?", f"{answer.question} Run it?"):
            # The choice may have changed: the answer is about this file.
            self._work.ask(lambda progress: _tested(answer.path, trust=True))
        else:
            self.say("Nothing was run. Test asks again.")

    def _on_refused(self, error: InputError) -> None:
        self.fill()
        self.say(str(error), problem=True)

    def _try(self, act: Callable[[], str | None]) -> None:
        """Run a short action, and show its message or error."""
        try:
            message = act()
            self.fill()
        except InputError as error:
            # A file may be gone that is still listed.
            self.fill()
            self.say(str(error), problem=True)
            return
        if message:
            self.say(message)

    def _choose(self, renamed: TrainedModel | Path) -> str:
        self.fill()
        rows = [row for row in range(self.list.count()) if self._at(row) == renamed]
        self.list.setCurrentRow(rows[0] if rows else -1)
        return f"Renamed to {renamed.name}."

    def _at(self, row: int) -> object:
        item = self.list.item(row)
        return None if item is None else item.data(_WHAT)

    def _ask_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load a model", "", FILES)
        if path:
            self.open(Path(path))

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "The folder of your models")
        if path:
            self.use_folder(Path(path))

    def _ask_rename(self) -> None:
        what = self.chosen()
        if what is not None:
            now = what.stem if isinstance(what, Path) else what.name
            name, yes = QInputDialog.getText(self, "Rename", "New name:", text=now)
            if yes:
                self.rename(name)

    def _ask_export(self) -> None:
        what = self.chosen()
        if what is None:
            return
        export_options = (
            ExportOptions.of(what) if isinstance(what, TrainedModel) else ExportOptions()
        )
        dialog = ExportDialog(export_options, self)
        if dialog.exec() != QDialog.DialogCode.Accepted:
            return
        name = what.stem if isinstance(what, Path) else what.name.replace(" ", "-")
        path = ask_to_save(self, "Export the model", f"{name}-export.zip", "Model packages (*.zip)")
        if path is not None:
            self._try(lambda: self.export_to(path, dialog.form.options))


class ExportDialog(QDialog):
    """A dialog for the licence and other details of an export."""

    def __init__(self, options: ExportOptions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export a model")
        about = QLabel(
            "State the licence under which others may use the model. Empty fields are taken from "
            "the model."
        )
        about.setWordWrap(True)
        self.form = Form(options, first=type(options).model_fields)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        for widget in (about, self.form.page, buttons):
            column.addWidget(widget)


def _facts(model: TrainedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "model": model.spec.kind,
        "classes": dict(zip(model.values, model.classes, strict=True)),
        "channels": list(model.channel_names) or model.n_channels,
        "axes": "YX" if model.ndim == 2 else "ZYX",
        "pixel size": " x ".join(f"{step:g}" for step in model.spacing) + f" {model.unit}",
        "diameter of the objects": f"{model.diameter:.3g} pixels" if model.diameter else "",
        "halo": list(model.halo),
        "scores": dict(model.scores),
        "licence": model.card.licence,
        "authors": model.card.authors,
    }


@dataclass(frozen=True)
class _Untrusted:
    """A file whose test did not run because it is a program, which needs the user's consent."""

    path: Path
    question: NeedsTrust


def _tested(path: Path, *, trust: bool) -> str | _Untrusted:
    try:
        trial = self_test(path, trust=trust)
    except NeedsTrust as question:
        return _Untrusted(path, question)
    return f"{path.name}: {_in_words(trial)}"


def _in_words(trial: ModelTestResult) -> str:
    return f"Its own test {'passed' if trial.passed else 'FAILED'}: {trial.summary}."


def _exported(what: TrainedModel | Path, path: Path, options: ExportOptions) -> str:
    model = open_model(what) if isinstance(what, Path) else what
    export(model, path, options)
    trial = self_test(path)
    return f"Wrote {path.name}. {_in_words(trial)}"


def _deleted(path: Path) -> str:
    shelf().delete(path)
    return f"Deleted {path.name}."


def _used(folder: Path) -> str:
    library = shelf()
    library.use_folder(folder)
    return f"Models in this folder: {sum(path.parent == folder for path in library.files())}."


def _button(text: str, help_text: str, slot: Callable[[], None]) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(help_text)
    button.clicked.connect(lambda: slot())
    return button
