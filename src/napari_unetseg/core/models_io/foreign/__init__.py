"""Open, describe, test and use models from other programs, without running their code."""

from napari_unetseg.core.models_io.foreign.model_test import ModelTestResult
from napari_unetseg.core.models_io.foreign.opening import (
    NeedsTrust,
    describe_model,
    open_model,
    self_test,
)

__all__ = ["ModelTestResult", "NeedsTrust", "describe_model", "open_model", "self_test"]
