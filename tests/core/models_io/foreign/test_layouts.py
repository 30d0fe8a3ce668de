"""State dicts of UNets that others wrote: the same numbers come out of ours."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.models_io.foreign import describe_model, open_model, self_test
from napari_unetseg.core.models_io.foreign.convert_unet import convert_bare_weights
from napari_unetseg.core.models_io.foreign.foreign_model import ForeignModel
from napari_unetseg.core.models_io.foreign.unet_layouts import match_layout
from napari_unetseg.core.models_io.native import load, save
from napari_unetseg.core.nn.restore import network_of
from napari_unetseg.core.normalisation import NormalisationSpec

Kit = SimpleNamespace
Network = Any


def state_of(network: nn.Module, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{name}": array.numpy() for name, array in network.state_dict().items()}


def evidence(network: Network, x: torch.Tensor) -> Any:
    with torch.inference_mode():
        return network(x).numpy()


@pytest.mark.parametrize("prefix", ["", "module.", "model.net."])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ShortcutFirst", {}),
        ("ShortcutFirst", {"bias": True}),
        ("ShortcutFirst", {"bias": True, "norm": False}),
        ("LowerFirst", {}),
    ],
)
def test_usual_unets_give_the_same_numbers(
    made: Kit, kind: str, options: dict[str, Any], prefix: str
) -> None:
    network = made.drawn(getattr(made, kind)(2, 3, **options))
    layout = match_layout(state_of(network, prefix))
    assert (layout.n_channels, layout.n_outputs, layout.ndim) == (2, 3, 2)
    assert layout.sure
    ours = network_of(convert_bare_weights(layout, "any", NormalisationSpec()))
    x = torch.rand(1, 2, 24, 32)
    np.testing.assert_allclose(evidence(ours, x), evidence(network, x), atol=1e-4)


def test_a_bare_state_dict_opens_predicts_and_is_saved_as_ours(
    made: Kit, tmp_path: Path, image: Any
) -> None:
    network = made.drawn(made.ShortcutFirst(1, 1))
    (tmp_path / "nuclei.pth").write_bytes(made.saved_state(network))
    told = describe_model(tmp_path / "nuclei.pth")
    assert (told["axes"], told["channels"], told["skip connections"]) == ("YX", 1, "by the names")
    scaling = NormalisationSpec(method="mean-std")
    model = open_model(tmp_path / "nuclei.pth", normalisation=scaling)
    assert not isinstance(model, ForeignModel)
    found = predict(model, Image.of(image), PredictOptions(what="probabilities")).asarray()[1]
    x = (image - image.mean()) / image.std()
    ends = [(0, -side % 4) for side in image.shape]
    whole = np.pad(np.pad(x, 32, "symmetric"), ends, "symmetric")[None, None].astype(np.float32)
    expected = 1 / (1 + np.exp(-evidence(network, torch.from_numpy(whole))[0, 0]))
    inner = expected[32 : 32 + image.shape[0], 32 : 32 + image.shape[1]]
    np.testing.assert_allclose(found, inner, atol=1e-3)
    save(model, tmp_path / "ours.zip")
    assert load(tmp_path / "ours.zip").fingerprint == model.fingerprint


def test_names_that_tell_nothing_are_settled_by_the_example(made: Kit, tmp_path: Path) -> None:
    network = made.drawn(made.Renamed(1, 1))
    assert not match_layout(state_of(network)).sure
    raw = np.random.default_rng(0).normal(size=(1, 1, 24, 24)).astype(np.float32)
    expected = torch.sigmoid(network(torch.from_numpy(raw))).detach().numpy()
    members = {"weights": made.saved_state(network), **made.tensors(raw, expected)}
    path = made.packed(tmp_path / "a.zip", members, made.content_of(members, "pytorch_state_dict"))
    assert self_test(path).passed
    model = open_model(path)
    # Scaling and sigmoid have words in ours, so it is taken over and can be trained on.
    assert model.spec.kind == "unet"
    assert model.card.licence == "MIT"
    assert model.spacing == (0.5, 0.5)
    members |= made.tensors(raw, 1 - expected)
    content = made.content_of(members, "pytorch_state_dict")
    with pytest.raises(InputError, match="does not reproduce the package's example"):
        open_model(made.packed(tmp_path / "b.zip", members, content))


def test_what_is_of_another_arithmetic_is_refused_by_name(made: Kit) -> None:
    network = made.ShortcutFirst(1, 1)
    network.up1["up"] = nn.Conv2d(16, 8, 1)
    network.up2["up"] = nn.Conv2d(8, 4, 1)
    with pytest.raises(InputError, match="with 0 of 2 and 3 of 1 pixel"):
        match_layout(state_of(network))
    network = made.ShortcutFirst(1, 1)
    network.inc.double_conv[1] = nn.InstanceNorm2d(4, affine=True)
    with pytest.raises(InputError, match="instance, group or layer normalisation"):
        match_layout(state_of(network))
    network = made.ShortcutFirst(1, 1)
    network.down2[1] = made.ShortcutFirst(8, 1).inc
    with pytest.raises(InputError, match="channels where"):
        match_layout(state_of(network))
    with pytest.raises(InputError, match="Supported are UNets"):
        match_layout({"a.weight": np.zeros((4, 4), np.float32)})


def test_weights_that_are_no_numbers_are_refused(made: Kit, tmp_path: Path) -> None:
    network = made.drawn(made.ShortcutFirst(1, 1))
    with torch.no_grad():
        network.outc.weight[0, 0] = float("nan")
    (tmp_path / "bad.pth").write_bytes(made.saved_state(network))
    with pytest.raises(InputError, match="NaN"):
        open_model(tmp_path / "bad.pth")
