"""The view of the Train dock as a pure function of its state, without Qt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.features import FilterBankSpec
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.model.pixel_specs import OF_BANK, Features, sees_features
from napari_unetseg.core.model.registry import RUNGS
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.training.suggested_start import SUGGESTED_START

ModelOrName = TrainedModel | str
"""A model of the session, or the name of a shipped one that was not opened yet."""

_OBJECT_FIELDS = ("objects", "maps")
_PIXEL_FIELDS = ("validation", "seed")
_LEAST_CLASSES: Mapping[AnnotationKind, int] = {"scribbles": 2, "mask": 1, "objects": 0}


@dataclass(frozen=True, eq=False)
class FeatureChoice:
    """The features for a pixel model: the filter bank, a network's, or both.

    Parameters
    ----------
    text
        Entry in the box.
    features
        The kind of features.
    network
        The UNet whose features are used; None for the bank and the pretrained network.
    """

    text: str
    features: Features
    network: ModelOrName | None = None

    @property
    def key(self) -> tuple[str, str]:
        """A key of the choice, equal for equal UNets."""
        if isinstance(self.network, TrainedModel):
            return self.features, self.network.fingerprint
        return self.features, self.network or ""


SUGGESTED = FeatureChoice("bank + pretrained", "bank+pretrained")
BANK = FeatureChoice("filter bank", "bank")
_OWN = (SUGGESTED, BANK, FeatureChoice("pretrained network", "pretrained"))


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainState:
    """The state of the Train dock.

    Parameters
    ----------
    rung
        Key of `RUNGS`.
    labels_are
        Kind of the annotation.
    extent
        2 for planes, 3 for stacks, as chosen; used if the image is a stack.
    has_image, has_labels
        Whether a layer of each is picked.
    is_stack
        Whether the image has several planes along Z.
    start
        Model to start from, as chosen.
    features
        Features of a pixel model, as chosen.
    models
        Models of the session, the newest last.
    shipped
        Names of the shipped models, each with its opened model if it is in the session.
    live_ticked, in_sight, running
        Whether Live is ticked, the page is visible, a training is running.
    """

    rung: str = "logistic"
    labels_are: AnnotationKind = "scribbles"
    extent: int = 2
    has_image: bool = False
    has_labels: bool = False
    is_stack: bool = False
    start: ModelOrName | None = None
    features: FeatureChoice = SUGGESTED
    models: Sequence[TrainedModel] = ()
    shipped: Mapping[str, TrainedModel | None]
    live_ticked: bool = False
    in_sight: bool = False
    running: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainView:
    """The view of the Train dock.

    Parameters
    ----------
    ndim
        2 to learn planes, 3 to learn stacks.
    hint
        Tooltip of the chosen kind of model.
    shows_region, shows_extent, shows_features, shows_pretraining, shows_live
        Visibility of the rows and panels.
    options
        Visibility of each training option.
    spec_options
        The same for the options of the model; others are visible.
    classes_least
        Number of classes that have a button before anything is painted; 0 for no buttons.
    starts
        Models of the session to start from.
    starts_shipped
        Names of the shipped models that are offered as a start too.
    suggests
        Whether the suggestion of a start is offered.
    start
        The chosen one; `SUGGESTED_START` to choose it when the training starts.
    features, features_shipped
        Features to choose from, those of shipped models separately.
    feature
        The chosen features.
    runs_live
        Whether live mode is on.
    keeps_preview
        Whether the preview layer stays: of live mode or of a training.
    """

    ndim: int
    hint: str
    shows_region: bool
    shows_extent: bool
    shows_features: bool
    shows_pretraining: bool
    shows_live: bool
    options: Mapping[str, bool]
    spec_options: Mapping[str, bool]
    classes_least: int
    starts: Sequence[TrainedModel]
    starts_shipped: Sequence[str]
    suggests: bool
    start: ModelOrName | None
    features: Sequence[FeatureChoice]
    features_shipped: Sequence[FeatureChoice]
    feature: FeatureChoice
    runs_live: bool
    keeps_preview: bool


def resolve(state: TrainState) -> TrainView:
    """Derive the view from the state."""
    pixel = RUNGS[state.rung].takes_frozen_features
    scribbles = state.labels_are == "scribbles"
    ndim = state.extent if state.is_stack else 2
    starts = [
        model
        for model in state.models
        if model.spec.kind == state.rung and model.ndim == ndim and model.state
    ]
    fitting = ndim == shipped.NDIM
    starts_shipped = [n for n in state.shipped if fitting and shipped.shipped_kind(n) == state.rung]
    suggests = fitting and state.rung == "unet"
    features = [*_OWN, *_network_features(state.models)]
    features_shipped = [
        FeatureChoice(name, "both", name)
        for name in state.shipped
        if shipped.shipped_kind(name) == "unet"
    ]
    feature = _kept(state.features, [*features, *features_shipped])
    shows_live = pixel and scribbles and ndim == 2
    there = state.has_image and state.has_labels and state.in_sight
    runs_live = shows_live and state.live_ticked and there
    return TrainView(
        ndim=ndim,
        hint=RUNGS[state.rung].tooltip,
        shows_region=not scribbles,
        shows_extent=state.is_stack,
        shows_features=pixel,
        shows_pretraining=not pixel,
        shows_live=shows_live,
        options=_training_options(pixel, state.labels_are),
        classes_least=_LEAST_CLASSES[state.labels_are],
        spec_options=_filter_options(feature.features) if pixel else {},
        starts=starts,
        starts_shipped=starts_shipped,
        suggests=suggests,
        start=_start(state, starts, starts_shipped, suggests=suggests),
        features=features,
        features_shipped=features_shipped,
        feature=feature,
        runs_live=runs_live,
        keeps_preview=runs_live or state.running,
    )


def features_of(model: TrainedModel) -> FeatureChoice:
    """Return the features of a trained pixel model."""
    network = model.features_from
    if not sees_features(model.spec):
        return SUGGESTED
    if network is None:
        # In a model, automatic features are the bank's alone.
        return _kept(FeatureChoice("", model.spec.features), [BANK, *_OWN])
    return FeatureChoice(network.name, model.spec.features, network)


def _network_features(models: Sequence[TrainedModel]) -> list[FeatureChoice]:
    """Return the features of UNets among the models, and of UNets inside other models."""
    networks: dict[str, TrainedModel] = {}
    for model in models:
        network = model if isinstance(model.spec, UNetSpec) else model.features_from
        if network is not None:
            networks.setdefault(network.fingerprint, network)
    return [
        choice
        for network in networks.values()
        for choice in (
            FeatureChoice(f"{network.name} + bank", "both", network),
            FeatureChoice(network.name, "network", network),
        )
    ]


def _kept(wanted: FeatureChoice, offered: Sequence[FeatureChoice]) -> FeatureChoice:
    """Return the choice if it is offered, else the first."""
    return next((choice for choice in offered if choice.key == wanted.key), offered[0])


def _start(
    state: TrainState,
    starts: Sequence[TrainedModel],
    starts_shipped: Sequence[str],
    *,
    suggests: bool,
) -> ModelOrName | None:
    """Return the chosen start if it is offered, as a model of the session if it was opened."""
    chosen = state.start
    if chosen == SUGGESTED_START:
        return SUGGESTED_START if suggests else None
    if isinstance(chosen, str):
        return (state.shipped[chosen] or chosen) if chosen in starts_shipped else None
    return next((model for model in starts if model is chosen), None)


def _training_options(pixel: bool, labels_are: AnnotationKind) -> dict[str, bool]:
    return {
        name: (not pixel and (name not in _OBJECT_FIELDS or labels_are == "objects"))
        or name in _PIXEL_FIELDS
        for name in TrainOptions.model_fields
    }


def _filter_options(features: Features) -> dict[str, bool]:
    """Return the visibility of the filter options, hidden if only a network's features are used."""
    return {**dict.fromkeys(FilterBankSpec.model_fields, features in OF_BANK), "features": False}


__all__ = [
    "BANK",
    "SUGGESTED",
    "FeatureChoice",
    "ModelOrName",
    "TrainState",
    "TrainView",
    "features_of",
    "resolve",
]
