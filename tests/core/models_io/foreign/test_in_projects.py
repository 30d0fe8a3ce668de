"""Models of others in a project: kept as the file they came in, and opened without being run."""

import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from napari_unetseg.core.models_io.foreign import open_model, opening
from napari_unetseg.core.models_io.foreign.foreign_model import ForeignModel
from napari_unetseg.core.project import Contents, ProjectFolder
from napari_unetseg.core.training.model_history import History

Kit = SimpleNamespace
KERNEL = np.random.default_rng(0).normal(size=(1, 1, 3, 3)).astype(np.float32)


def contents_of(*models: Any) -> Contents:
    history = History()
    for model in models:
        history.add(model)
    return Contents(models=tuple(models), history=history.versions)


def files(project: Path) -> list[str]:
    return sorted(path.name for path in (project / "models").iterdir())


@pytest.fixture
def bare(made: Kit, tmp_path: Path) -> Any:
    (tmp_path / "somebody's net.onnx").write_bytes(made.onnx_file(KERNEL))
    return open_model(tmp_path / "somebody's net.onnx")


@pytest.fixture
def package(made: Kit, tmp_path: Path) -> Any:
    """A package of ONNX weights, as a folder."""
    members = {"weights": made.onnx_file(KERNEL)}
    zipped = made.packed(tmp_path / "net.zip", members, made.content_of(members, "onnx"))
    folder = tmp_path / "folder"
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(folder)
    return open_model(folder)


def test_they_come_back_as_they_were(bare: Any, package: Any, tmp_path: Path) -> None:
    project = tmp_path / "cells.unetseg"
    said = contents_of(bare, package)
    ProjectFolder(project).save(said)
    assert len(files(project)) == 2
    Path(bare.source).unlink()
    folder = ProjectFolder(project)
    again = folder.open()
    assert again.missing == ()
    for old, new in zip((bare, package), again.models, strict=True):
        assert isinstance(new, ForeignModel)
        assert (new.name, new.fingerprint) == (old.name, old.fingerprint)
        assert new.description.inputs[0].axes == old.description.inputs[0].axes
        assert Path(new.source).is_relative_to(project)
    before = files(project)
    assert folder.save(again) == []
    assert files(project) == before


def test_a_program_is_not_run_and_not_lost(
    made: Kit, bare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, project = tmp_path / "script.pt", tmp_path / "cells.unetseg"
    network = made.drawn(made.ShortcutFirst(1, 1))
    path.write_bytes(made.scripted(network, torch.zeros(1, 1, 16, 16)))
    model = open_model(path, trust=True)
    ProjectFolder(project).save(contents_of(model, bare))
    with monkeypatch.context() as patch:
        patch.setattr(opening, "script_engine", lambda *words: pytest.fail("it was run"))
        folder = ProjectFolder(project)
        again = folder.open()
    assert [one.name for one in again.models] == [bare.name]
    (sentence,) = again.missing
    assert "TorchScript" in sentence
    before = files(project)
    folder.save(Contents(models=again.models, history=again.history))
    assert files(project) == before
    (kept,) = [name for name in before if name.endswith(".pt")]
    trusted = open_model(project / "models" / kept, trust=True)
    assert trusted.fingerprint == model.fingerprint
    folder.save(Contents(models=(*again.models, trusted), history=again.history))
    assert len(files(project)) == len(before)


def test_what_is_gone_or_changed_is_said(bare: Any, tmp_path: Path, made: Kit) -> None:
    project = tmp_path / "cells.unetseg"
    folder = ProjectFolder(project)
    source = Path(bare.source)
    data = source.read_bytes()
    source.unlink()
    folder.save(contents_of(bare))
    assert "its file" in folder.left_out[0]
    source.write_bytes(data)
    folder.save(contents_of(bare))
    assert folder.left_out == ()
    (name,) = files(project)
    changed = made.onnx_file(2 * KERNEL)
    (project / "models" / name).write_bytes(changed)
    again = ProjectFolder(project)
    opened = again.open()
    assert opened.models == ()
    (sentence,) = opened.missing
    assert name in sentence
    assert "was changed" in sentence
    # It stays in the project as it is, for whoever copies the right file back.
    again.save(opened)
    assert (project / "models" / name).read_bytes() == changed
    assert "was changed" in ProjectFolder(project).open().missing[0]
