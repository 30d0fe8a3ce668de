"""The registry of rungs: one entry for each kind of model that can be trained.

Docks, command line, scoreboard, methods text, diagrams and exported packages list models from here.
A new rung is a spec (its options), a network, and an entry.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.network_specs import CnnSpec, ModelSpec, UNetSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec, MlpSpec, SoftmaxSpec
from napari_unetseg.core.model.pretrained_unet_spec import PretrainedUNetSpec

Family = Literal["pixel", "network"]

_NETWORKS = "napari_unetseg.core.nn.networks"
_DIAGRAMS = "napari_unetseg.core.model.diagram"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Rung:
    """A kind of model: its options, description, network and diagram.

    Parameters
    ----------
    spec
        Class of its options, whose `kind` is its name.
    title
        Name in a methods section, after "the".
    help
        One or two sentences that help to choose a model.
    cost
        Order of magnitude of the training time.
    network
        ``"module:callable"``, imported when a network is built, since it needs torch. Called with
        `ModelSpec.network_options`.
    diagram
        ``"module:callable"``: from a spec, channels, classes and axes to an `Architecture`.
    sources
        Modules that an exported package needs to build the network, in the order of their imports.
        They import torch and each other alone.
    citation
        Author and year, for a methods section.
    scoreboard
        Whether the scoreboard includes it by default.
    """

    spec: type[ModelSpec]
    title: str
    help: str
    cost: Literal["seconds", "minutes"]
    network: str
    diagram: str
    sources: tuple[str, ...]
    citation: str = ""
    scoreboard: bool = True

    @property
    def kind(self) -> str:
        """Name in files, on the command line and in forms."""
        return self.spec.kind

    @property
    def family(self) -> Family:
        """Pixel for a fit to given features, network for features learnt from patches."""
        return "network" if self.spec.learns_features else "pixel"

    @property
    def takes_frozen_features(self) -> bool:
        """Whether it can use the features of a trained UNet."""
        return self.family == "pixel"

    @property
    def tooltip(self) -> str:
        """Help and cost, for a form."""
        return f"{self.help} Trains in {self.cost}."

    @property
    def network_name(self) -> str:
        """Name of the callable that builds the network."""
        return self.network.partition(":")[2]


RUNGS: dict[str, Rung] = {}
"""All rungs by their kind, in the order in which they are offered."""


def register(rung: Rung) -> None:
    """Append a rung to the registry.

    Raises
    ------
    ValueError
        When a rung of that kind exists.
    """
    if rung.kind in RUNGS:
        raise ValueError(f"A rung {rung.kind!r} exists already. Give the new one another kind.")
    RUNGS[rung.kind] = rung


def import_callable(place: str) -> Callable[..., Any]:
    """Import a callable by its ``"module:callable"`` path."""
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def spec_of(kind: str, options: Mapping[str, Any] = _NOTHING) -> ModelSpec:
    """Return the spec of a rung.

    Raises
    ------
    InputError
        When there is no such rung, or an option is unknown or out of range.
    """
    if kind not in RUNGS:
        raise InputError(f"There is no model {kind!r}. Choose one of {', '.join(RUNGS)}.")
    return RUNGS[kind].spec.checked(**options)


def saved_spec(kind: str, options: Mapping[str, Any]) -> ModelSpec:
    """Return the spec of a saved model, which may be older than some options.

    Raises
    ------
    InputError
        See `spec_of`.
    """
    older = RUNGS[kind].spec.older if kind in RUNGS else {}
    return spec_of(kind, {**older, **options})


def rungs_for(n_classes: int) -> tuple[str, ...]:
    """Return the rungs to compare for a number of classes, lowest first.

    Of the two linear ones only one: logistic for two classes, for which both are the same, else
    softmax.
    """
    return tuple(
        kind for kind, rung in RUNGS.items() if rung.scoreboard and rung.spec.suits(n_classes)
    )


register(
    Rung(
        LogisticSpec,
        "logistic model",
        "Two classes, by a weighted sum of filter responses. Start here. For more classes, use "
        "softmax.",
        "seconds",
        network=f"{_NETWORKS}.perceptron:PixelNetwork",
        diagram=f"{_DIAGRAMS}:pixel_diagram",
        sources=(f"{_NETWORKS}.perceptron",),
        citation="Cox 1958",
    )
)
register(
    Rung(
        SoftmaxSpec,
        "softmax model",
        "Any number of classes, by a weighted sum of filter responses for each.",
        "seconds",
        network=f"{_NETWORKS}.perceptron:PixelNetwork",
        diagram=f"{_DIAGRAMS}:pixel_diagram",
        sources=(f"{_NETWORKS}.perceptron",),
        citation="Bridle 1990",
    )
)
register(
    Rung(
        MlpSpec,
        "multilayer perceptron",
        "A small neural network over filter responses, for classes that weighted sums cannot "
        "separate.",
        "seconds",
        network=f"{_NETWORKS}.perceptron:PixelNetwork",
        diagram=f"{_DIAGRAMS}:pixel_diagram",
        sources=(f"{_NETWORKS}.perceptron",),
        citation="Rumelhart et al. 1986",
    )
)
register(
    Rung(
        CnnSpec,
        "convolutional network",
        "A small convolutional network, which learns its own filters.",
        "minutes",
        network=f"{_NETWORKS}.cnn:CNN",
        diagram=f"{_DIAGRAMS}:cnn_diagram",
        sources=(f"{_NETWORKS}.blocks", f"{_NETWORKS}.cnn"),
        citation="LeCun et al. 1998",
    )
)
register(
    Rung(
        UNetSpec,
        "UNet",
        "Uses detail and surroundings. The best model if there are enough labels.",
        "minutes",
        network=f"{_NETWORKS}.unet:UNet",
        diagram=f"{_DIAGRAMS}:unet_diagram",
        sources=(f"{_NETWORKS}.blocks", f"{_NETWORKS}.unet"),
        citation="Ronneberger et al. 2015",
    )
)
register(
    Rung(
        PretrainedUNetSpec,
        "UNet with a pretrained encoder",
        "A UNet that begins with layers pretrained on photographs. The best model if few images "
        "are labelled and no shipped model knows their kind.",
        "minutes",
        network=f"{_NETWORKS}.pretrained_unet:PretrainedUNet",
        diagram=f"{_DIAGRAMS}:pretrained_unet_diagram",
        sources=tuple(
            f"{_NETWORKS}.{name}" for name in ("blocks", "pretrained_trunk", "pretrained_unet")
        ),
        citation="Iglovikov and Shvets 2018; Tan and Le 2019",
        scoreboard=False,
    )
)

__all__ = ["RUNGS", "Rung", "import_callable", "register", "rungs_for", "saved_spec", "spec_of"]
