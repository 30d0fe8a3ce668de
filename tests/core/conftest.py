"""What the tests of models and their files share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_unetseg.core.model.pretrained_features import PRETRAINED
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.model.trained_model import TrainedModel

SMALL: dict[str, dict[str, Any]] = {
    "logistic": {"sigmas": "1, 2"},
    "softmax": {"sigmas": "1"},
    "mlp": {"sigmas": "1", "layers": 1, "width": 4},
    "cnn": {"layers": 2, "width": 3},
    "unet": {"depth": 1, "width": 4, "convolutions": 1, "head": "learnt"},
    "pretrained-unet": {"width": 3},
}


def random_model(kind: str, ndim: int = 2, *, seed: int = 0, **fields: Any) -> TrainedModel:
    """Return a small model with random weights; `options` among the fields overrule."""
    from napari_unetseg.core.nn.restore import fresh

    spec = spec_of(kind, SMALL[kind] | fields.pop("options", {}))
    values = fields.pop("values", (0, 1) if kind == "logistic" else (0, 1, 2))
    n_channels = fields.pop("n_channels", 1)
    rng = np.random.default_rng(seed)
    decoder = fields.get("decoder")
    unet = fields.get("features_from")
    features: Any = PRETRAINED if getattr(spec, "uses_pretrained", False) else None
    features = features if unet is None else unet.features(n_channels, ndim)
    n_outputs = decoder.n_outputs if decoder else len(values)
    network = fresh(spec, n_channels, n_outputs, ndim, features)
    state = {}
    for name, weights in network.state_dict().items():
        drawn = rng.normal(0, 0.5, tuple(weights.shape))
        drawn = np.abs(drawn) + 0.5 if name.endswith("running_var") else drawn
        state[name] = np.asarray(drawn).astype(weights.numpy().dtype)
    state |= spec.known_weights()
    facts: dict[str, Any] = {
        "name": f"random {kind}",
        "classes": tuple(f"class {value}" for value in values),
        "labels_are": "scribbles" if values[0] else "mask",
        "spacing": (2.0, 0.5, 0.5)[-ndim:],
        "unit": "µm",
    }
    given = facts | fields
    return TrainedModel(
        spec=spec, values=values, n_channels=n_channels, ndim=ndim, state=state, **given
    )


@pytest.fixture(scope="session")
def make_model() -> Callable[..., TrainedModel]:
    """Make a small model with random weights."""
    return random_model
