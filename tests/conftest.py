"""What every test shares: no settings of the person's own, one hypothesis profile, real data."""

import atexit
import importlib
import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from napari_unetseg.compile_kernels import COMPILED_SETTINGS, made_by
from napari_unetseg.core.settings import write_settings

ROOT = Path(__file__).resolve().parent.parent


def _isolate_settings() -> None:
    """Send napari's settings to a folder of this run; napari reads the variable on import."""
    folder = tempfile.mkdtemp(prefix="napari-unetseg-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
    # No window of a test starts the compilation of every kernel.
    write_settings(Path(folder) / COMPILED_SETTINGS, made_by())


_isolate_settings()
# Trainings compute in float32 on every machine, as on those whose processor has no bfloat16.
if platform.machine().lower() in ("x86_64", "amd64"):
    os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")


@pytest.fixture(autouse=True)
def _options_are_the_default() -> None:
    """Let no test begin with options that another one ran a dock with."""
    settings = Path(os.environ["NAPARI_CONFIG"])
    for name in ("unetseg-options.json", "unetseg-projects.json"):
        settings.with_name(name).unlink(missing_ok=True)


# Compiling and a busy machine make single examples slow, which says nothing about the code.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


_SLOW = (
    "e2e",
    "examples",
    "gui",
    "cli",
    "core/models_io",
    "core/nn",
    "core/project",
    "core/recipe",
    "core/samples",
    "core/streaming",
    "core/training",
    "test_api.py",
    "test_demo.py",
    "test_docs.py",
    "test_package.py",
)
"""Tests that need a window, a training, processes, files or much drawing: not in the fast tier."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the slow tier by where they are."""
    for item in items:
        place = item.path.relative_to(ROOT / "tests").as_posix()
        if place.startswith(_SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder that holds `pyproject.toml`."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real micrographs kept beside the checkout, not in it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real micrographs of ../shared/data, which are not here")
    return folder


@pytest.fixture(scope="session")
def mutations() -> Any:
    """Functions that break files at random."""
    spec = importlib.util.spec_from_file_location("mutations", ROOT / "tests" / "mutations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def toy_rung(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A rung that is registered for one test, with nothing else told of it."""
    from napari_unetseg.core.model.registry import RUNGS, register

    monkeypatch.syspath_prepend(Path(__file__).parent)
    rung = importlib.import_module("toy_rung").RUNG
    register(rung)
    yield rung
    del RUNGS[rung.kind]
