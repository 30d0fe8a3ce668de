"""What the Train dock shows in every state, worked out without Qt, napari or a window."""

import itertools
import subprocess
import sys
from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest

from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.model.registry import RUNGS
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.training.suggested_start import SUGGESTED_START
from napari_unetseg.gui.train.train_view import (
    BANK,
    SUGGESTED,
    FeatureChoice,
    TrainState,
    features_of,
    resolve,
)

PIXEL = [kind for kind, rung in RUNGS.items() if rung.takes_frozen_features]
NETWORKS = [rung for rung in RUNGS if rung not in PIXEL]


def model(name, rung="logistic", ndim=2, **known):
    """Return a model of a rung as the session holds it; its weights are of no interest here."""
    state = {"weight": np.full(3, crc32(name.encode()) % 997, np.float32)}
    known = {"classes": ("a", "b"), "values": (1, 2), "labels_are": "scribbles", **known}
    return TrainedModel(
        name=name, spec=RUNGS[rung].spec(), n_channels=1, ndim=ndim, state=state, **known
    )


def with_features(pixel, network, features):
    spec = pixel.spec.model_copy(update={"features": features})
    return replace(pixel, spec=spec, features_from=network)


def state(**chosen):
    return TrainState(**{"shipped": {}, **chosen})


def test_no_window_is_needed():
    program = (
        "import sys, napari_unetseg.gui.train.train_view;"
        "assert not {'qtpy', 'PyQt6', 'napari', 'torch', 'vispy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("rung", RUNGS)
def test_every_rung_has_a_hint_of_its_own(rung):
    hints = {resolve(state(rung=other)).hint for other in RUNGS}
    assert resolve(state(rung=rung)).hint in hints
    assert len(hints) == len(RUNGS)


@pytest.mark.parametrize("rung", PIXEL)
def test_a_pixel_rung_is_offered_features_and_no_pretraining(rung):
    view = resolve(state(rung=rung, labels_are="objects"))
    assert view.shows_features
    assert not view.shows_pretraining
    assert {name for name, shown in view.options.items() if shown} == {"validation", "seed"}


@pytest.mark.parametrize("rung", NETWORKS)
@pytest.mark.parametrize("kind", ["scribbles", "mask", "objects"])
def test_a_network_is_offered_all_options_those_of_objects_for_objects(rung, kind):
    view = resolve(state(rung=rung, labels_are=kind))
    assert view.shows_pretraining
    assert not view.shows_features
    assert view.spec_options == {}
    hidden = {name for name, shown in view.options.items() if not shown}
    assert hidden == (set() if kind == "objects" else {"objects", "maps"})
    assert set(view.options) == set(TrainOptions.model_fields)


@pytest.mark.parametrize(
    ("is_stack", "extent", "ndim"), [(False, 2, 2), (False, 3, 2), (True, 2, 2), (True, 3, 3)]
)
def test_stacks_are_learnt_where_there_is_one_and_it_is_wanted(is_stack, extent, ndim):
    view = resolve(state(is_stack=is_stack, extent=extent))
    assert view.ndim == ndim
    assert view.shows_extent == is_stack


def test_where_labels_are_finished_is_asked_of_all_but_scribbles():
    shown = {
        kind: resolve(state(labels_are=kind)).shows_region
        for kind in ("scribbles", "mask", "objects")
    }
    assert shown == {"scribbles": False, "mask": True, "objects": True}


def test_live_runs_only_where_everything_for_it_is_there():
    ready = state(has_image=True, has_labels=True, live_ticked=True, in_sight=True)
    assert resolve(ready).runs_live
    lacking = [{name: False} for name in ("has_image", "has_labels", "live_ticked", "in_sight")] + [
        {"rung": "unet"},
        {"labels_are": "mask"},
        {"is_stack": True, "extent": 3},
    ]
    for without in lacking:
        assert not resolve(replace(ready, **without)).runs_live, without
    hides = [without for without in lacking if not resolve(replace(ready, **without)).shows_live]
    assert hides == lacking[4:], "the box stays where only a layer or the tick is missing"


def test_the_preview_stays_while_live_or_training():
    assert not resolve(state()).keeps_preview
    assert resolve(state(running=True)).keeps_preview
    live = state(has_image=True, has_labels=True, live_ticked=True, in_sight=True)
    assert resolve(live).keeps_preview


def test_a_start_is_of_the_same_rung_and_extent():
    plane, stack, mlp = model("plane"), model("stack", ndim=3), model("mlp", "mlp")
    known = state(models=(plane, stack, mlp), is_stack=True, start=plane)
    assert resolve(known).starts == [plane]
    assert resolve(known).start is plane
    in_3d = resolve(replace(known, extent=3))
    assert in_3d.starts == [stack]
    assert in_3d.start is None, "a model of planes was kept as a start for stacks"
    assert resolve(replace(known, rung="mlp")).starts == [mlp]
    foreign = replace(plane, name="foreign", state={})
    assert resolve(replace(known, models=(foreign,))).starts == [], "nothing to go on from"


def test_a_shipped_start_stays_chosen_when_it_becomes_one_of_the_session():
    ships = state(rung="unet", shipped={"neurons": None}, start="neurons")
    assert resolve(ships).starts_shipped
    assert resolve(ships).start == "neurons"
    opened = model("neurons", "unet")
    taken = replace(ships, models=(opened,), shipped={"neurons": opened})
    assert resolve(taken).start is opened
    for other in ({"rung": "cnn"}, {"is_stack": True, "extent": 3}):
        assert not resolve(replace(ships, **other)).starts_shipped
        assert resolve(replace(ships, **other)).start is None


@pytest.mark.parametrize(
    ("rung", "offered", "suggests"),
    [("unet", "neurons", True), ("pretrained-unet", "phase_cells", False)],
)
def test_a_shipped_start_is_of_the_chosen_kind(rung: str, offered: str, suggests: bool):
    both = {"neurons": None, "phase_cells": None}
    view = resolve(state(rung=rung, shipped=both, start="phase_cells"))
    assert list(view.starts_shipped) == [offered]
    assert view.start == ("phase_cells" if offered == "phase_cells" else None)
    assert view.suggests is suggests
    assert [choice.key for choice in view.features_shipped] == [
        choice.key for choice in resolve(state(shipped={"neurons": None})).features_shipped
    ]


def test_a_start_is_suggested_where_models_ship():
    asked = state(rung="unet", shipped={"neurons": None}, start=SUGGESTED_START)
    assert resolve(asked).start == SUGGESTED_START
    for other in ({"rung": "logistic"}, {"is_stack": True, "extent": 3}):
        assert resolve(replace(asked, **other)).start is None


def test_features_are_of_the_networks_of_the_session_each_once():
    unet = model("eyes", "unet")
    seeing = with_features(model("sees"), unet, "both")
    view = resolve(state(models=(unet, seeing), shipped={"neurons": None}))
    assert [choice.text for choice in view.features] == [
        "bank + pretrained",
        "filter bank",
        "pretrained network",
        "eyes + bank",
        "eyes",
    ]
    assert [choice.key for choice in view.features_shipped] == [("both", "neurons")]
    assert view.feature is view.features[0]


def test_chosen_features_stay_while_they_are_offered():
    unet = model("eyes", "unet")
    again = features_of(with_features(model("sees"), unet, "network"))
    view = resolve(state(models=(unet,), features=again))
    assert view.feature is view.features[4], "the same weights are the same features"
    assert view.spec_options["sigmas"] is False, "no filters, no options of filters"
    gone = resolve(state(features=again))
    assert gone.feature.key == SUGGESTED.key
    assert gone.spec_options["sigmas"] is True
    assert gone.spec_options["features"] is False, "the box above says it"


def test_a_model_of_the_filter_bank_goes_on_with_it():
    assert features_of(model("plain")) is BANK
    assert features_of(model("network", "unet")) is SUGGESTED
    pretrained = replace(model("p"), spec=LogisticSpec(features="pretrained"))
    assert features_of(pretrained).text == "pretrained network"
    assert isinstance(model("network", "unet").spec, UNetSpec)


def test_every_state_has_one_view():
    """Chosen start and features are always among those offered, whatever the state."""
    unet, pixel, stack = model("u", "unet"), model("p"), model("s", "unet", ndim=3)
    starts = (None, unet, pixel, stack, "neurons", "gone", SUGGESTED_START)
    features = (BANK, FeatureChoice("u", "network", unet), FeatureChoice("n", "both", "neurons"))
    for rung, extent, is_stack, start, feature, models in itertools.product(
        RUNGS, (2, 3), (False, True), starts, features, ((), (unet, pixel, stack))
    ):
        view = resolve(
            state(
                rung=rung,
                extent=extent,
                is_stack=is_stack,
                start=start,
                features=feature,
                models=models,
                shipped={"neurons": None},
            )
        )
        names = ["neurons", SUGGESTED_START] if view.starts_shipped else []
        assert view.start is None or view.start in [*view.starts, *names]
        assert view.feature in [*view.features, *view.features_shipped]
        assert all(one.spec.kind == rung and one.ndim == view.ndim for one in view.starts)
