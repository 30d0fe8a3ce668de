"""The form shows an options object and gives it back."""

from typing import Literal

import pytest

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.options import Options, option
from napari_unetseg.gui.shared.form import Form


class Kitchen(Options):
    """One field of every kind."""

    kind: Literal["boiled", "fried"] = option("boiled", "Kind", "How it is cooked.")
    minutes: int = option(4, "Minutes", "How long.", ge=1, le=10)
    heat: float = option(0.5, "Heat", "How hot.", ge=0, le=1, slider=True)
    fat: float = option(1.5, "Fat", "Spoons.", ge=0, when={"kind": ("fried",)})
    salt: bool = option(True, "Salt", "Whether.")
    terms: str = option("plane", "Terms", "Which.", suggestions=("plane", "cubic"))
    rare: int = option(2, "Rare", "Seldom changed.", advanced=True)


CASES = [
    Kitchen(),
    Kitchen(kind="fried", minutes=10, heat=0.25, fat=1e6, salt=False, terms="1,x", rare=-7),
    Kitchen(terms="cubic", heat=1.0, minutes=1),
]


@pytest.fixture
def form(qtbot):
    made = Form(Kitchen())
    qtbot.addWidget(made.page)
    made.page.show()
    return made


@pytest.mark.parametrize("options", CASES)
def test_shows_and_gives_back_any_options(qtbot, options):
    form = Form(options)
    qtbot.addWidget(form.page)
    assert form.options == options


@pytest.mark.parametrize("options", CASES)
def test_setting_options_shows_them_without_telling(form, options):
    told = []
    form.changed.connect(told.append)
    form.options = options
    assert form.options == options
    assert told == []


def test_a_change_by_hand_is_told_once_with_the_new_options(form):
    told = []
    form.changed.connect(told.append)
    form.widget("minutes").value = 7
    assert told == [Kitchen(minutes=7)]


def test_a_field_that_does_not_matter_is_hidden(form):
    assert not form.widget("fat").visible
    form.widget("kind").value = "fried"
    assert form.widget("fat").visible


def test_rare_fields_are_folded_away_until_asked_for(form):
    assert not form.widget("rare").visible
    form.unfold()
    assert form.widget("rare").visible


def test_every_widget_carries_label_and_help(form):
    for name, field in Kitchen.model_fields.items():
        assert form.widget(name).label == field.title
        assert form.widget(name).tooltip == field.description


def test_fields_can_be_hidden_for_a_reason_outside(form):
    form.show_only({"salt": False})
    assert not form.widget("salt").visible
    form.show_only({"salt": True})
    assert form.widget("salt").visible


def test_a_range_never_excludes_the_present_value(form):
    form.options = Kitchen(fat=50.0)
    form.set_range("fat", 100.0, 200.0)
    assert form.options.fat == 50.0


def test_an_impossible_value_is_one_sentence():
    with pytest.raises(InputError, match="minutes = 99"):
        Kitchen.checked(minutes=99)
    with pytest.raises(InputError, match="kind = 'raw'"):
        Kitchen.checked(kind="raw")


@pytest.mark.parametrize("options", CASES)
def test_options_are_held_before_there_are_widgets(qtbot, options):
    form = Form(Kitchen())
    form.show_only({"salt": False})
    form.options = options
    assert form.options == options
    qtbot.addWidget(form.page)
    form.page.show()
    assert form.options == options
    assert not form.widget("salt").visible
    form.unfold()
    assert form.widget("rare").value == options.rare
    assert form.options == options


def test_zero_is_shown_by_its_word(qtbot):
    form = Form(DecodeOptions(link="time"))
    qtbot.addWidget(form.page)
    box = form.widget("link_distance").native
    assert box.text() == "automatic"
    form.set(link_distance=4.0)
    assert box.text() == "4.00"
