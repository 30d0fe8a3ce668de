"""Loading torch in one thread disturbs no other."""

import subprocess
import sys

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
