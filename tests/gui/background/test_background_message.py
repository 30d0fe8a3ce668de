"""The Background dock's message names the objects it found and ignored, and passes on a warning."""

import numpy as np

from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.progress import silent
from napari_unetseg.gui.background.background_dock import _flatten, _summary


def message(data: np.ndarray, **options: str) -> str:
    """Flatten an image as the dock does and return its message."""
    chosen = BackgroundOptions(terms="plane", **options)
    return _summary(_flatten(Image.of(data), chosen, None, silent)[2])


def test_the_message_names_what_was_found_and_ignored() -> None:
    rng = np.random.default_rng(3)
    data = rng.normal(100, 2, (128, 128))
    data[20:50, 30:70] += 60
    data[80:110, 60:90] += 60
    assert "ignoring bright objects (found in the image)" in message(data)
    assert "ignoring dark objects (found in the image)" in message(200 - data)
    # Chosen by hand, it needs no mention.
    assert "ignoring" not in message(data, robust="bright")
    assert message(data).endswith("Next: Threshold.")


def test_the_message_warns_where_the_background_is_in_doubt() -> None:
    rng = np.random.default_rng(3)
    data = rng.normal(100, 2, (128, 128)) + 60
    gaps = np.kron(np.indices((16, 16)).sum(0) % 16 == 0, np.ones((8, 8)))
    data -= 60 * gaps
    assert "The background may be wrong" in message(data, robust="bright")
