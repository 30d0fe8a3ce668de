"""The form shows an options object and gives it back."""

import re
from typing import Literal

import pytest
from qtpy.QtWidgets import QLabel

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.options import Options, option
from napari_unetseg.gui.shared.form import Form
from napari_unetseg.gui.shared.more import More


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
    qtbot.addWidget(made.rare)
    made.page.show()
    made.rare.show()
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
    assert form.rare.layout().count() == 0
    form.fill_rare()
    assert form.widget("rare").visible
    assert form.page.isAncestorOf(form.widget("minutes").native)
    assert form.rare.isAncestorOf(form.widget("rare").native)


def test_the_page_decides_what_is_at_first_sight(qtbot):
    form = Form(Kitchen(), first=("kind", "rare"))
    qtbot.addWidget(form.page)
    qtbot.addWidget(form.rare)
    assert form.page.isAncestorOf(form.widget("rare").native)
    assert form.rare.isAncestorOf(form.widget("minutes").native)


class Grouped(Options):
    """Fields in two groups, one of which is not always there."""

    slow: bool = option(True, "Slow", "Whether.")
    steps: int = option(1, "Steps", "How many.", advanced=True, group="Training")
    turns: int = option(
        1, "Turns", "How many.", advanced=True, group="Looks", when={"slow": (True,)}
    )
    rate: float = option(1.0, "Rate", "How fast.", advanced=True, group="Training")


def test_rare_fields_stand_below_the_heading_of_their_group(qtbot):
    form = Form(Grouped())
    qtbot.addWidget(form.page)
    qtbot.addWidget(form.rare)
    form.fill_rare()
    form.rare.show()
    labels = form.rare.findChildren(QLabel)
    in_order = sorted((one.mapTo(form.rare, one.pos()).y(), one.text()) for one in labels)
    assert [re.sub("<.*?>", "", text) for _, text in in_order] == [
        "Training",
        "Steps",
        "Rate",
        "Looks",
        "Turns",
    ]
    form.set(slow=False)
    assert not form._headings["Looks"].isVisible()
    assert form._headings["Training"].isVisible()


def test_more_is_offered_while_it_holds_something(qtbot):
    more, extra, form = More(), QLabel("extra"), Form(Kitchen(), first=("kind", "minutes"))
    qtbot.addWidget(more)
    more.add("Extra", extra)
    more.add("", form)
    more.show()
    assert not extra.isVisible()
    assert form.rare.layout().count() == 0
    more.button.click()
    assert extra.isVisible()
    assert form.widget("salt").visible
    form.show_rare(False)
    assert not form.rare.isVisible()
    assert more.button.isVisible()
    extra.hide()
    assert not more.button.isVisible()
    form.show_rare(True)
    assert more.button.isVisible()


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
    qtbot.addWidget(form.rare)
    form.fill_rare()
    assert form.widget("rare").value == options.rare
    assert form.options == options


def test_zero_is_shown_by_its_word(qtbot):
    form = Form(DecodeOptions(link="time"))
    qtbot.addWidget(form.page)
    qtbot.addWidget(form.rare)
    box = form.widget("link_distance").native
    assert box.text() == "automatic"
    form.set(link_distance=4.0)
    assert box.text() == "4.00"
