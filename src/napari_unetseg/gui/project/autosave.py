"""Autosave and opening of a viewer's project."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, ref

from napari.layers import Labels
from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.objects.lineage import Lineage, lineage_of
from napari_unetseg.core.project import Contents, ProjectFolder, SavedElsewhereError
from napari_unetseg.gui.project.project_layers import (
    adopt,
    contents_of,
    layers_from_contents,
    version_of,
)
from napari_unetseg.gui.project.recent_projects import note_project
from napari_unetseg.gui.queue.queue_store import revision_of
from napari_unetseg.gui.shared.layers import image_of, layer_key
from napari_unetseg.gui.shared.model_opener import ask
from napari_unetseg.gui.shared.session import Session, unwrapped
from napari_unetseg.gui.shared.task import Latest, Task
from napari_unetseg.gui.shared.track_layers import show_tracks

SECONDS = 5.0
"""Seconds between automatic saves."""


class Autosave(QObject):
    """The project of one viewer, saved every few seconds; `Autosave.of` returns it.

    Signals
    -------
    saved(str)
        A sentence about the save.
    refused(str)
        The reason for a failure.
    opened(str)
        A sentence about the opened project.

    Attributes
    ----------
    problem
        The reason for the last failed save; empty once a later one succeeds.
    """

    saved = Signal(str)
    refused = Signal(str)
    opened = Signal(str)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._ref = ref(viewer)
        self._session = Session.of(viewer)
        self.folder: ProjectFolder | None = None
        self._task: Task | None = None
        # What the viewer held when the disk last held all of it.
        self._seen: Any = None
        self.problem = ""
        self._paths = Latest(self)
        self._paths.answered.connect(self._on_paths)
        self._tracked: list[Labels] = []
        self._timer = QTimer(self)
        self._timer.setInterval(round(1000 * SECONDS))
        self._timer.timeout.connect(self.autosave)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.finish)

    @classmethod
    def of(cls, viewer: Any) -> "Autosave":
        """Return the autosave of `viewer`, which may be napari's plugin proxy."""
        viewer = unwrapped(viewer)
        if viewer not in _BY_VIEWER:
            _BY_VIEWER[viewer] = cls(viewer)
        return _BY_VIEWER[viewer]

    @property
    def _viewer(self) -> Any:
        """The viewer, held by a weak reference; None when it is deleted."""
        return self._ref()

    @property
    def path(self) -> Path | None:
        """The folder of the project, if there is one."""
        return None if self.folder is None else self.folder.path

    @property
    def busy(self) -> bool:
        """Whether a project is being saved or opened."""
        return self._task is not None

    @property
    def automatic(self) -> bool:
        """Whether changes are saved every few seconds."""
        return self._timer.isActive()

    def set_automatic(self, on: bool) -> None:
        """Turn automatic saving on or off."""
        if on:
            self._timer.start()
        else:
            self._timer.stop()

    def save_as(self, path: Path) -> None:
        """Save everything in the viewer as a new project, and turn on automatic saving."""
        self.folder, self._seen = ProjectFolder(path), None
        note_project(path)
        self.save()
        self.set_automatic(True)

    def save(self) -> None:
        """Save all changes in another thread."""
        if self.folder is None or self._task is not None:
            return
        contents, folder, look = self._contents(), self.folder, self._look()
        self._run(
            lambda progress: folder.save(contents, progress=progress),
            lambda written: self._on_saved(written, look, contents.missing),
        )

    def autosave(self) -> None:
        """Save if anything changed since the last time."""
        if self._viewer is None:
            self._timer.stop()
        elif self.folder is not None and self._task is None and self._look() != self._seen:
            self.save()

    def finish(self) -> None:
        """Save unsaved changes at once, before the application ends.

        Asks whether to try again if that fails, and whether to save if saving is not automatic.
        """
        if self._viewer is None or self.folder is None:
            return
        if self._task is None and self._look() == self._seen:
            return
        name = self.folder.path.name
        wanted = self.automatic or ask(None, "Not saved", f"Save the changes of {name}?")
        while wanted:
            try:
                self.folder.save(self._contents())
            except SavedElsewhereError as error:
                beside = _free_name(self.folder.path)
                wanted = ask(None, "Not saved", f"{error} Save it as {beside.name}?")
                self.folder = ProjectFolder(beside)
            except InputError as error:
                wanted = ask(None, "Not saved", f"{error} {name} is not saved. Try again?")
            else:
                self._seen, wanted = self._look(), False

    def open(self, path: Path) -> None:
        """Read a project in another thread and put its layers into the viewer."""
        if self._task is None:
            folder = ProjectFolder(path)
            self._run(lambda progress: (folder, folder.open(progress=progress)), self._on_opened)

    def take_over(self, folder: ProjectFolder, contents: Contents, problems: list[str]) -> None:
        """Continue to save an opened project whose layers are in the viewer."""
        self._tracked = tracked = adopt(self._viewer, self._session, contents)
        if tracked:
            images = [image_of(layer) for layer in tracked]
            self._paths.ask(lambda progress: [lineage_of(one, progress=progress) for one in images])
        self.folder = folder
        note_project(folder.path)
        items = {item.key: item for item in contents.items}
        versions = {}
        for layer in self._viewer.layers:
            if layer_key(layer) in items:
                versions[layer_key(layer)] = version_of(layer, self._session)
        folder.remember(versions)
        self._seen = self._look()
        self.set_automatic(True)
        n = (len(contents.images), len(contents.labels), len(contents.models))
        sentence = f"Opened {folder.path.name}: {_count(n)}."
        self.opened.emit(" ".join([sentence, *problems]))

    def _run(self, work: Any, done: Any) -> None:
        self._task = Task(work, self)
        self._task.returned.connect(done)
        self._task.refused.connect(self._on_refused)
        self._task.failed.connect(self._on_failed)
        self._task.finished.connect(self._on_finished)
        self._task.start()

    def _contents(self) -> Contents:
        return contents_of(
            self._viewer,
            self._session,
            lambda key, version: self.folder is not None and self.folder.holds(key, version),
        )

    def _look(self) -> Any:
        """Return a key that changes whenever there is something to save."""
        layers = [
            (
                *(layer_key(layer), layer.name, version_of(layer, self._session)),
                *(revision_of(layer), _Identity(getattr(layer, "features", None))),
            )
            for layer in self._viewer.layers
        ]
        session = self._session
        return layers, [id(model) for model in session.models], session.history.versions

    def _on_saved(self, written: list[str], look: Any, not_saved: Sequence[str]) -> None:
        self._seen, self.problem = look, ""
        labels = sum(name.startswith("labels/") for name in written)
        what = f"{labels} label layer(s) changed" if labels else "up to date"
        left_out = () if self.folder is None else self.folder.left_out
        sentence = f"Saved at {time.strftime('%H:%M:%S')}: {what}."
        self.saved.emit(" ".join([sentence, *left_out, *not_saved]))

    def _on_opened(self, found: tuple[ProjectFolder, Contents]) -> None:
        folder, contents = found
        layers, problems = layers_from_contents(contents)
        for layer in layers:
            self._viewer.add_layer(layer)
        self.take_over(folder, contents, problems)

    def _on_paths(self, lineages: list[Lineage | None]) -> None:
        """Show the tracks of an opened project, of the layers that are still there."""
        tracked, self._tracked = self._tracked, []
        if self._viewer is None:
            return
        for layer, lineage in zip(tracked, lineages, strict=True):
            if layer in self._viewer.layers:
                show_tracks(self._viewer.layers, layer, lineage)

    def _on_refused(self, reason: InputError | str) -> None:
        self.problem = str(reason)
        self.refused.emit(self.problem)

    def _on_failed(self, error: Exception) -> None:
        known = self.problem
        self._on_refused(f"This failed: {error}. The last saved state is still there.")
        if self.problem != known:
            # The next tries, every few seconds, need no notification of their own.
            raise error

    def _on_finished(self) -> None:
        if self._task is not None:
            self._task.deleteLater()
        self._task = None


@dataclass(frozen=True, eq=False)
class _Identity:
    """Compare objects by identity, and keep them alive so that no other gets the same."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.value is self.value

    __hash__ = object.__hash__


def _free_name(path: Path) -> Path:
    """Return a name like that of a project, that no file has."""
    names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return next(name for name in names if not name.exists())


def _count(numbers: tuple[int, int, int]) -> str:
    names = ("image", "label layer", "model")
    return ", ".join(
        f"{n} {name}{'' if n == 1 else 's'}" for n, name in zip(numbers, names, strict=True)
    )


_BY_VIEWER: "WeakKeyDictionary[Any, Autosave]" = WeakKeyDictionary()

__all__ = ["SECONDS", "Autosave"]
