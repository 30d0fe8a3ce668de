"""TrainOptions: complete, checked, and light."""

import subprocess
import sys

import pytest

from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError


def test_options_round_trip() -> None:
    options = TrainOptions(until="epochs", epochs=3, climbing="off")
    assert TrainOptions.model_validate_json(options.model_dump_json()) == options


@pytest.mark.parametrize(
    ("field", "value"),
    [("budget", 0), ("learning_rate", -1), ("patch", 4), ("validation", 0.9), ("device", "tpu")],
)
def test_values_out_of_range_are_named(field: str, value: object) -> None:
    with pytest.raises(InputError, match=field):
        TrainOptions.checked(**{field: value})


def test_every_field_explains_itself() -> None:
    for name, field in TrainOptions.model_fields.items():
        assert field.title, name
        assert field.description, name
        assert field.description.endswith("."), name


def test_automatic_choices() -> None:
    options = TrainOptions()
    assert options.climbs(dense=False)
    assert not options.climbs(dense=True)
    assert TrainOptions(climbing="on").climbs(dense=True)
    assert not TrainOptions(climbing="off").climbs(dense=False)
    assert options.balances(dense=False) == (True, True)
    assert options.balances(dense=True) == (True, False)
    assert TrainOptions(balance="none").balances(dense=False) == (False, False)
    assert TrainOptions(balance="loss").balances(dense=True) == (False, True)


def test_no_torch_is_loaded() -> None:
    code = (
        "import sys, napari_unetseg.core.annotation.train_options\n"
        "import napari_unetseg.core.annotation.holdout\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
