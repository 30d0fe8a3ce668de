"""Models of others: opened, described, tested and used, without running what they bring along."""

from napari_unetseg.core.foreign.opening import (
    NAMES,
    NeedsTrust,
    describe_model,
    open_model,
    self_test,
)
from napari_unetseg.core.foreign.trial import Trial

__all__ = ["NAMES", "NeedsTrust", "Trial", "describe_model", "open_model", "self_test"]
