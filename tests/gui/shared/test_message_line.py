"""A message is short at sight, and all of it is there on a click."""

import pytest

from napari_unetseg.gui.shared.message_line import MOST_LINES, MessageLine

RESULT = "21 objects in the image."
NEXT = "Next: Measure; or Correct, then Train on."
REMARKS = [f"Remark {number} takes a line of its own, more or less." for number in range(6)]


@pytest.fixture
def line(qtbot):
    made = MessageLine()
    qtbot.addWidget(made)
    made.resize(270, 100)
    made.show()
    return made


def lines_of(made):
    return round(made.heightForWidth(made.width()) / made.fontMetrics().lineSpacing())


def test_a_short_message_is_shown_as_it_is(line):
    line.setText(f"{RESULT} {NEXT}")
    assert line.shown == line.text() == f"{RESULT} {NEXT}"
    assert not line.toolTip()


def test_a_long_one_leads_with_the_result_and_the_next_step(line):
    whole = " ".join([RESULT, *REMARKS, NEXT])
    line.setText(whole)
    assert line.text() == line.toolTip() == whole
    assert line.shown.startswith(f"{RESULT} {REMARKS[0]}")
    assert line.shown.endswith(NEXT)
    assert REMARKS[-1] not in line.shown
    assert lines_of(line) <= MOST_LINES
    line.linkActivated.emit("#")
    assert line.shown == whole
    line.linkActivated.emit("#")
    assert lines_of(line) <= MOST_LINES
    line.resize(2000, 100)
    assert line.shown == whole, "there is room for it"


def test_another_message_is_folded_again(line):
    line.setText(" ".join([RESULT, *REMARKS]))
    line.unfold()
    line.setText(" ".join([NEXT, *REMARKS]))
    assert REMARKS[-1] not in line.shown


def test_one_long_sentence_is_shown_whole_and_problems_are_marked(line):
    problem = "The file '<b>.tif' " + "is not what it seems to be " * 12 + "at all."
    line.say(problem, problem=True)
    assert line.shown == problem
    assert line.property("problem")
    line.say("")
    assert not line.property("problem")
    assert not line.styleSheet()


def test_a_long_name_does_not_widen_the_page(line):
    line.setText("/a/very/" + 40 * "long" + "/name.csv: 3 rows.")
    assert line.minimumSizeHint().width() == 0
