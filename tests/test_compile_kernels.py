"""Compilation in advance: every kernel, and for the types it is called with later."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unetseg import compile_kernels
from napari_unetseg.core.compute import compilation
from napari_unetseg.core.samples import nuclei

# Prints the kernels without machine code after the compilation in advance, and those that some
# commands compile for other types afterwards. In a process of its own: other tests compile too.
_CODE = """
import importlib, json, pkgutil, sys
from numba.core.dispatcher import Dispatcher
import napari_unetseg.core
from napari_unetseg.cli import main
from napari_unetseg.compile_kernels import steps

for step in steps():
    step()
for module in pkgutil.walk_packages(napari_unetseg.core.__path__, "napari_unetseg.core."):
    if ".nn" not in module.name:
        importlib.import_module(module.name)
kernels = {
    f"{name}.{attribute}": kernel
    for name, module in list(sys.modules.items())
    if name.startswith("napari_unetseg.core")
    for attribute, kernel in vars(module).items()
    if isinstance(kernel, Dispatcher) and kernel.targetoptions.get("inline") != "always"
}
before = {name: list(kernel.signatures) for name, kernel in kernels.items()}
# A kernel whose machine code was kept does not load those that it calls.
used = [kernel for kernel in kernels.values() if kernel.signatures]
for kernel in used:
    called = [kernel.py_func.__globals__.get(n) for n in kernel.py_func.__code__.co_names]
    used += [k for k in called if isinstance(k, Dispatcher) and k not in used]
statuses = [main(arguments) for arguments in json.loads(sys.argv[1])]
after = {name: [s for s in k.signatures if s not in before[name]] for name, k in kernels.items()}
print(json.dumps({
    "number": len(kernels),
    "unused": [name for name, kernel in kernels.items() if kernel not in used],
    "statuses": statuses,
    "compiled later": {name: str(new) for name, new in after.items() if new},
}))
"""


# Prints what napari compiles, after the compilation in advance, for labels and a queue's frame.
_NAPARI_CODE = """
import json, sys
import numpy as np
from napari_unetseg import compile_kernels

compile_kernels.draw_layers(np.int32)
assert not any(name in sys.modules for name in ("PyQt6", "PySide6", "qtpy"))

from numba.core.dispatcher import Dispatcher
from napari.layers.shapes import _accelerated_triangulate_numba
from napari.utils.colormaps import _accelerated_cmap

compiled = [
    kernel
    for module in (_accelerated_triangulate_numba, _accelerated_cmap)
    for kernel in vars(module).values()
    if isinstance(kernel, Dispatcher) and kernel.targetoptions.get("inline") != "always"
]
before = [set(kernel.signatures) for kernel in compiled]

from napari.components import ViewerModel
from napari_unetseg.core.review_queue import Item
from napari_unetseg.gui.measure.colouring import colours_of, scale_of
from napari_unetseg.gui.queue.queue_frame import ItemFrame

viewer = ViewerModel()
ids = np.zeros((60, 50), np.int32)
ids[10:30, 10:30] = 1
labels = viewer.add_labels(ids)
values = np.array([2.0])
labels.colormap = colours_of(np.array([1]), values, scale_of("area", values))
item = Item("object", (10, 10), (30, 30), number=1)
ItemFrame(viewer).show(labels, item)
after = [set(kernel.signatures) - old for kernel, old in zip(compiled, before)]
print(json.dumps([sum(map(len, before)), [str(new) for new in after if new]]))
"""


def _commands(folder: Path) -> Iterator[list[str]]:
    """Write images of other sizes than those compiled for, and yield commands on them."""
    for name, sample in (("YX", nuclei((150, 170), seed=1)), ("ZYX", nuclei((9, 80, 70), seed=2))):
        labels = folder / f"{name}-labels.tif"
        tifffile.imwrite(labels, sample.objects.astype(np.uint16), metadata={"axes": name})
        for dtype in (np.uint8, np.uint16, np.float32) if name == "YX" else (np.uint16,):
            image = folder / f"{name}-{dtype.__name__}.tif"
            pixels = sample.image * (250.0 / sample.image.max())
            tifffile.imwrite(image, pixels.astype(dtype), metadata={"axes": name})

            def out(ending: str, image: Path = image) -> list[str]:
                return ["-o", str(image.with_name(f"{image.stem}-{ending}"))]

            yield ["background", str(image), *out("flat.tif")]
            yield ["threshold", str(image), "--method", "multiotsu", *out("classes.tif")]
            yield ["threshold", str(image), "--as", "objects", "--split", *out("objects.tif")]
            yield ["measure", str(labels), str(image), "--hull", "--median", *out("table.csv")]
            if name == "YX":
                yield ["predict", "nuclei", str(image), *out("nuclei.tif")]


def test_every_kernel_is_compiled_in_advance_for_what_it_meets(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, "-c", _CODE, json.dumps(list(_commands(tmp_path)))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["number"] > 50
    assert found["unused"] == []
    assert set(found["statuses"]) == {0}, done.stderr
    assert found["compiled later"] == {}


def test_napari_compiles_nothing_for_the_layers_of_results() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _NAPARI_CODE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    n_compiled, later = json.loads(done.stdout.splitlines()[-1])
    assert n_compiled > 0
    assert later == []


def test_nothing_is_compiled_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "keeps_code", lambda: False)
    monkeypatch.setattr(compile_kernels, "steps", lambda: pytest.fail("compiled for nothing"))
    assert compile_kernels.compile_all() == 0


def test_a_kernel_works_where_nothing_can_be_kept() -> None:
    code = (
        "import numba.core.caching as caching\n"
        "kind = getattr(caching, 'CacheImpl', None) or caching._CacheImpl\n"
        "kind._locator_classes = []\n"
        "import numpy as np\n"
        "import napari_unetseg as seg\n"
        "from napari_unetseg.core.compute.compilation import keeps_code\n"
        "mask = np.eye(5, dtype=bool)\n"
        "from napari_unetseg.core.objects.masks import label\n"
        "print(keeps_code(), label(mask)[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "1"], done.stderr
