"""The kinds of annotation that a model is trained on."""

from typing import Literal

AnnotationKind = Literal["scribbles", "mask", "objects"]
"""Strokes, a class for every pixel, or an id for every object."""

__all__ = ["AnnotationKind"]
