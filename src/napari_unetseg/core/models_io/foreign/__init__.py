"""Models of others: opened, described, tested and used, without running what they bring along."""

from napari_unetseg.core.models_io.foreign.model_test import Trial
from napari_unetseg.core.models_io.foreign.opening import (
    NAMES,
    NeedsTrust,
    describe_model,
    open_model,
    self_test,
)

__all__ = ["NAMES", "NeedsTrust", "Trial", "describe_model", "open_model", "self_test"]
