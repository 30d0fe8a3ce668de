"""The tools of the Correct dock: what each is called, how the hand uses it, and what it does."""

from dataclasses import dataclass
from typing import Literal

from napari_unetseg.core import corrections as fix
from napari_unetseg.gui.correct import correct_acts as acts
from napari_unetseg.gui.correct.correct_acts import Act


@dataclass(frozen=True)
class ToolKind:
    """One tool.

    Parameters
    ----------
    name, text, key, group
        Its own name, the word on its button, its key on the canvas, and where its button stands.
    hand
        What the hand does: click an object, click or stroke over several, draw a line, set seeds,
        or nothing but press the button.
    hint
        What to do next.
    help
        What comes of it.
    act
        What it does.
    flat
        Whether it needs the 2D view.
    planes
        Whether it takes a stack of planes.
    every
        Whether it also goes over every object at once.
    done
        Sentence for when it was done.
    locks
        Whether it locks what it touched.
    """

    name: str
    text: str
    key: str
    group: str
    hand: Literal["click", "several", "line", "seeds", "now"]
    hint: str
    help: str
    act: Act
    done: str
    flat: bool = False
    planes: bool = False
    every: bool = False
    locks: bool = True


_CUT_HINT = "Draw across the object with the mouse pressed, from outside to outside."

TOOLS = (
    ToolKind(
        "merge",
        "Merge",
        "J",
        "Join and divide",
        "several",
        "Click the first object to merge, or drag a stroke over several.",
        "Objects become one, with the id of the first.",
        acts.join_objects,
        "Merged {ids}.",
    ),
    ToolKind(
        "line",
        "Cut",
        "K",
        "Join and divide",
        "line",
        _CUT_HINT,
        "Divide objects along a line that you draw across them. In a stack, Act on says whether "
        "it cuts this plane or all of the object.",
        acts.cut_along_line,
        "Cut {ids}.",
        flat=True,
    ),
    ToolKind(
        "seeds",
        "Seeds",
        "S",
        "Join and divide",
        "seeds",
        "Click a place in each piece of one object, then press Enter.",
        "Divide an object among places that you click in it, at its waists.",
        acts.divide_at_seeds,
        "Divided {ids}.",
        flat=True,
    ),
    ToolKind(
        "apart",
        "Apart",
        "U",
        "Join and divide",
        "click",
        "Click an object whose parts do not touch.",
        "Parts of an object that do not touch get ids of their own.",
        acts.separate_parts,
        "Separated {ids}.",
        every=True,
    ),
    ToolKind(
        "delete",
        "Delete",
        "D",
        "Delete",
        "click",
        "Click the object to delete.",
        "Delete the objects you click.",
        acts.delete_objects,
        "Deleted {ids}.",
    ),
    ToolKind(
        "selected",
        "Selected",
        "Delete",
        "Delete",
        "now",
        "",
        "Delete the object whose number is selected in napari's layer controls.",
        acts.delete_objects,
        "Deleted {ids}.",
    ),
    ToolKind(
        "small",
        "Small",
        "Shift-D",
        "Delete",
        "now",
        "",
        "Delete objects of fewer pixels than the form says.",
        acts.delete_small,
        "Deleted {n}.",
        every=True,
    ),
    ToolKind(
        "border",
        "At border",
        "Shift-B",
        "Delete",
        "now",
        "",
        "Delete objects that touch the border of the picture: cut off, hence of no true size. In a "
        "stack, the border of its planes.",
        acts.delete_at_border,
        "Deleted {n}.",
        every=True,
    ),
    ToolKind(
        "fill",
        "Fill holes",
        "H",
        "Outline",
        "click",
        "Click the object to fill.",
        "Fill the background that an object encloses.",
        acts.on_outline(fix.fill_holes, fix.fill_every, by=False),
        "Filled {ids}.",
        every=True,
    ),
    ToolKind(
        "smooth",
        "Smooth",
        "O",
        "Outline",
        "click",
        "Click the object to smooth.",
        "Take away spurs and dents that are narrower than the form says.",
        acts.on_outline(fix.smooth, fix.smooth_every, by=True),
        "Smoothed {ids}.",
        every=True,
    ),
    ToolKind(
        "grow",
        "Grow",
        "G",
        "Outline",
        "click",
        "Click the object to grow.",
        "Grow by as many pixels as the form says, not over neighbours.",
        acts.on_outline(fix.grow, fix.grow_every, by=True),
        "Grew {ids}.",
        every=True,
    ),
    ToolKind(
        "shrink",
        "Shrink",
        "Shift-G",
        "Outline",
        "click",
        "Click the object to shrink.",
        "Shrink by as many pixels as the form says.",
        acts.on_outline(fix.shrink, fix.shrink_every, by=True),
        "Shrank {ids}.",
        every=True,
    ),
    ToolKind(
        "interpolate",
        "Fill between",
        "I",
        "Draw",
        "click",
        "Click an object that is drawn on some planes with gaps between.",
        "Fill an object in between the planes that it is drawn on.",
        acts.on_clicked(acts.fill_between),
        "Filled {ids} in.",
        flat=True,
        planes=True,
    ),
    ToolKind(
        "next",
        "To next",
        "C",
        "Draw",
        "click",
        "Click the object to copy to the next plane.",
        "Copy what an object is on this plane to the next one, and go there.",
        acts.copy_by(1),
        "Copied {ids}.",
        flat=True,
        planes=True,
    ),
    ToolKind(
        "previous",
        "To previous",
        "Shift-C",
        "Draw",
        "click",
        "Click the object to copy to the previous plane.",
        "Copy what an object is on this plane to the one before, and go there.",
        acts.copy_by(-1),
        "Copied {ids}.",
        flat=True,
        planes=True,
    ),
    ToolKind(
        "shapes",
        "From shapes",
        "T",
        "Draw",
        "now",
        "",
        "Make an object of each polygon, rectangle and ellipse of the Shapes layer, on background.",
        acts.draw_shapes,
        "Drew {n}.",
        flat=True,
    ),
    ToolKind(
        "approve",
        "Approve",
        "A",
        "Keep and tidy",
        "click",
        "Click an object that is right.",
        "An object that you approve is ink: no run changes it.",
        acts.approve_objects,
        "Approved {ids}.",
    ),
    ToolKind(
        "view",
        "All in view",
        "Shift-A",
        "Keep and tidy",
        "now",
        "",
        "Approve every object that is on screen now.",
        acts.approve_in_view,
        "Approved {n}.",
    ),
    ToolKind(
        "renumber",
        "Renumber",
        "R",
        "Keep and tidy",
        "now",
        "",
        "Number the objects of the layer from 1 without a gap. Only those with the largest numbers "
        "change, to fill the gaps. Changes no outline, hence makes no ink.",
        acts.close_gaps,
        "Renumbered {n}.",
        locks=False,
    ),
)

__all__ = ["TOOLS", "ToolKind"]
