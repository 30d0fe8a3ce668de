"""Models of others: opened, described, tested and used, without running what they bring along."""

from napari_unetseg.core.foreign.opening import (
    SUFFIXES,
    NeedsTrust,
    describe_model,
    open_model,
    self_test,
)

__all__ = ["SUFFIXES", "NeedsTrust", "describe_model", "open_model", "self_test"]
