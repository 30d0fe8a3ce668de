"""The tools of the Correct dock: names, keys, hints and actions."""

from dataclasses import dataclass
from typing import Literal

from napari_unetseg.core import corrections as fix
from napari_unetseg.gui.correct import correct_acts as acts
from napari_unetseg.gui.correct.correct_acts import Act

OFTEN, OUTLINE = "Click an object", "Click an object to shape it"
OBJECT = "Click an object to lock or split it"
PLANES, COMMANDS = "Click an object to draw it on other planes", "At once, without a click"


@dataclass(frozen=True)
class ToolKind:
    """One correction tool.

    Parameters
    ----------
    name, text, key, group
        Its identifier and icon, button text, key over the canvas, and group of buttons.
    hand
        Its use: click an object, click or stroke over each of several, or over several to join,
        draw a line, click points, or only press the button.
    hint
        Instruction for the next step.
    help
        Tooltip: the effect of the tool.
    act
        Its action.
    flat
        Whether it needs the 2D view.
    planes
        Whether it needs a stack of planes.
    every
        Whether it can act on every object at once.
    done
        Message after success.
    locks
        Whether it locks the changed pixels.
    """

    name: str
    text: str
    key: str
    group: str
    hand: Literal["click", "each", "several", "line", "seeds", "now"]
    hint: str
    help: str
    act: Act
    done: str
    flat: bool = False
    planes: bool = False
    every: bool = False
    locks: bool = True


_CUT_HINT = "Drag a line across the object, from outside to outside."

TOOLS = (
    ToolKind(
        "delete",
        "Delete",
        "D",
        OFTEN,
        "each",
        "Click the object to delete, or drag a stroke over several.",
        "Delete the objects that you click or drag a stroke over.",
        acts.delete_objects,
        "Deleted {ids}.",
    ),
    ToolKind(
        "merge",
        "Merge",
        "J",
        OFTEN,
        "several",
        "Click the first object to merge, or drag a stroke over several.",
        "Merge objects into one, with the id of the first.",
        acts.join_objects,
        "Merged {ids}.",
    ),
    ToolKind(
        "line",
        "Cut",
        "K",
        OFTEN,
        "line",
        _CUT_HINT,
        "Cut objects along a line that you draw across them. In a stack, Act on decides whether "
        "this plane or the whole object is cut.",
        acts.cut_along_line,
        "Cut {ids}.",
        flat=True,
    ),
    ToolKind(
        "approve",
        "Approve",
        "A",
        OBJECT,
        "each",
        "Click an object that is right, or drag a stroke over several.",
        "Lock the objects that you click or drag a stroke over, as they are: no run changes them.",
        acts.approve_objects,
        "Approved {ids}.",
    ),
    ToolKind(
        "unlock",
        "Unlock",
        "Shift-U",
        OBJECT,
        "click",
        "Click an object that runs may change again.",
        "Take back the approval or correction of one object: runs may change it again.",
        acts.approve_objects,
        "Unlocked {ids}.",
    ),
    ToolKind(
        "seeds",
        "By clicks",
        "S",
        OBJECT,
        "seeds",
        "Click a point in each part of one object, then press Enter.",
        "Split an object by points that you click in its parts, at the notches between them.",
        acts.divide_at_seeds,
        "Split {ids}.",
        flat=True,
    ),
    ToolKind(
        "apart",
        "Split parts",
        "U",
        OBJECT,
        "click",
        "Click an object whose parts do not touch.",
        "Give parts of an object that do not touch separate ids.",
        acts.separate_parts,
        "Separated {ids}.",
        every=True,
    ),
    ToolKind(
        "fill",
        "Fill holes",
        "H",
        OUTLINE,
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
        OUTLINE,
        "click",
        "Click the object to smooth.",
        "Remove spurs and dents that are narrower than Pixels.",
        acts.on_outline(fix.smooth, fix.smooth_every, by=True),
        "Smoothed {ids}.",
        every=True,
    ),
    ToolKind(
        "grow",
        "Grow",
        "G",
        OUTLINE,
        "click",
        "Click the object to grow.",
        "Grow by the number of Pixels, without overwriting neighbours.",
        acts.on_outline(fix.grow, fix.grow_every, by=True),
        "Grew {ids}.",
        every=True,
    ),
    ToolKind(
        "shrink",
        "Shrink",
        "Shift-G",
        OUTLINE,
        "click",
        "Click the object to shrink.",
        "Shrink by the number of Pixels.",
        acts.on_outline(fix.shrink, fix.shrink_every, by=True),
        "Shrank {ids}.",
        every=True,
    ),
    ToolKind(
        "interpolate",
        "Fill between",
        "I",
        PLANES,
        "click",
        "Click an object that is drawn on some planes but not between them.",
        "Interpolate an object between the planes that it is drawn on.",
        acts.on_clicked(acts.fill_between),
        "Interpolated {ids}.",
        flat=True,
        planes=True,
    ),
    ToolKind(
        "next",
        "To next",
        "C",
        PLANES,
        "click",
        "Click the object to copy to the next plane.",
        "Copy an object from this plane to the next one, and go there.",
        acts.copy_by(1),
        "Copied {ids}.",
        flat=True,
        planes=True,
    ),
    ToolKind(
        "previous",
        "To previous",
        "Shift-C",
        PLANES,
        "click",
        "Click the object to copy to the previous plane.",
        "Copy an object from this plane to the previous one, and go there.",
        acts.copy_by(-1),
        "Copied {ids}.",
        flat=True,
        planes=True,
    ),
    ToolKind(
        "selected",
        "Delete selected",
        "Delete",
        COMMANDS,
        "now",
        "",
        "Delete the object whose number is selected in napari's layer controls.",
        acts.delete_objects,
        "Deleted {ids}.",
    ),
    ToolKind(
        "small",
        "Delete small",
        "Shift-D",
        COMMANDS,
        "now",
        "",
        "Delete objects with fewer pixels than Small is under.",
        acts.delete_small,
        "Deleted {n}.",
        every=True,
    ),
    ToolKind(
        "border",
        "Delete at border",
        "Shift-B",
        COMMANDS,
        "now",
        "",
        "Delete objects that touch the image border, because they are cut off. In a stack, the "
        "border of its planes.",
        acts.delete_at_border,
        "Deleted {n}.",
        every=True,
    ),
    ToolKind(
        "view",
        "Approve in view",
        "Shift-A",
        COMMANDS,
        "now",
        "",
        "Approve every visible object.",
        acts.approve_in_view,
        "Approved {n}.",
    ),
    ToolKind(
        "renumber",
        "Renumber",
        "R",
        COMMANDS,
        "now",
        "",
        "Number the objects of the layer from 1 without gaps. Only the largest numbers change, to "
        "fill the gaps. No outline changes, so nothing is locked.",
        acts.close_gaps,
        "Renumbered {n}.",
        locks=False,
    ),
    ToolKind(
        "shapes",
        "From shapes",
        "T",
        COMMANDS,
        "now",
        "",
        "Turn each polygon, rectangle and ellipse of the Shapes layer into an object, on "
        "background.",
        acts.draw_shapes,
        "Drew {n}.",
        flat=True,
    ),
)

__all__ = ["COMMANDS", "OBJECT", "OFTEN", "OUTLINE", "PLANES", "TOOLS", "ToolKind"]
