"""Loading torch in one thread disturbs no other."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading, time
import numpy as np
from scipy import ndimage

def load():
    import napari_unetseg.core.nn.restore

thread = threading.Thread(target=load)
thread.start()
while "torch" not in sys.modules:
    time.sleep(0.001)
# SciPy remembers the answer for arrays from its first call.
ndimage.zoom(np.eye(4), 1)
assert thread.is_alive()
thread.join()
import torch
assert torch.Tensor.__module__ == "torch"
assert not any(type(finder).__name__ == "_TorchFinder" for finder in sys.meta_path)
print("loaded")
"""


def test_scipy_works_while_torch_is_loaded_in_another_thread():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "loaded", done.stderr


LIBRARIES = """
import ctypes, importlib.abc, os, sys
import napari_unetseg.core.nn
from importlib.util import find_spec
from pathlib import Path

library, = (Path(find_spec("torch").origin).parent / "lib").glob("libtorch_python.*")
loaded = []

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.startswith("torch."):
            sys.meta_path.remove(self)
            loaded.append(ctypes.CDLL(str(library), mode=os.RTLD_NOLOAD))

sys.meta_path.insert(0, Watch())
import torch
assert loaded
print(torch.ones(2).sum().item())
"""


@pytest.mark.skipif(os.name != "posix", reason="torch loads them itself elsewhere")
def test_the_libraries_are_loaded_before_any_module_of_torch():
    done = subprocess.run(
        [sys.executable, "-c", LIBRARIES], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "2.0", done.stderr
