"""The Scoreboard dock: comparison of several models on the same labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from napari.layers import Labels, Layer
from qtpy.QtWidgets import QCheckBox, QGridLayout, QWidget

from napari_unetseg.core.annotation.annotation import TrainingPair, class_names_of, values_of
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.registry import RUNGS, rungs_for
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.model.validation_score import describe_score
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.training.compare_models import Row, Scoreboard, compare
from napari_unetseg.gui.scoreboard.scoreboard_table import ScoreboardTable
from napari_unetseg.gui.shared.stroke_layer import class_names
from napari_unetseg.gui.shared.task import Latest, Reporter, Work
from napari_unetseg.gui.shared.tool import Tool
from napari_unetseg.gui.shared.training_layers import (
    kind_box,
    labels_pick,
    lesson_of,
    show_kind,
    warm_up,
)


class ScoreboardOptions(Options):
    """Options for comparing models."""

    budget: float = option(
        1.0,
        "Minutes each",
        "Training time of each network. The other models are fitted in seconds.",
        gt=0,
        le=10_000,
        step=0.5,
    )
    validation: float = option(
        0.2,
        "Test fraction",
        "Fraction of the annotation held out from training to judge all models: whole strokes or "
        "tiles.",
        ge=0.05,
        le=0.8,
        step=0.05,
    )
    seed: int = option(
        0, "Seed", "Another seed holds out other strokes.", ge=0, le=2**31 - 1, advanced=True
    )


class ScoreboardWidget(Tool[ScoreboardOptions]):
    """Train several models on the same labels, and keep the simplest that is good enough.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Scoreboard"
    help_text = (
        "Train several models on the same labels and see which one is good enough, judged on "
        "held-out labels."
    )
    run_text = "Compare"
    at_sight = ("budget",)
    run_help = "Train every ticked model, judge all on the same held-out labels, keep the best."
    can_stop = True
    makes_model = True
    stop_help = "End now and keep the models that are done."

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(napari_viewer, ScoreboardOptions())
        self._warm = Latest(self)
        self._board: Scoreboard | None = None
        self._used: Row | None = None
        self._kept: dict[Row, TrainedModel] = {}
        self._note = ""
        self.labels = labels_pick(self.viewer)
        self.labels.picked.connect(self._on_labels)
        self.kind = kind_box()
        self.ticks: dict[str, QCheckBox] = {}
        ticks = QWidget()
        grid = QGridLayout(ticks)
        grid.setContentsMargins(0, 0, 0, 0)
        # The models for two classes; for more classes, the first one differs.
        for number, name in enumerate(rungs_for(2)):
            tick = QCheckBox(name)
            tick.setToolTip(RUNGS[name].tooltip)
            tick.setChecked(True)
            self.ticks[name] = tick
            grid.addWidget(tick, number // 2, number % 2)
        self.table = ScoreboardTable()
        self.table.setToolTip("Click a model to use it in Predict.")
        self.table.chosen.connect(self._on_chosen)
        self.assemble(
            rows=[("Labels", self.labels), ("Label type", self.kind), ("Models", ticks)],
            results=[self.table],
        )

    # Definition of the tool

    def work(self, layer: Layer, options: ScoreboardOptions) -> Work:
        kind = self.kind.currentData()
        labels = self.labels.layer()
        lesson, self._note = lesson_of(layer, labels, kind, self.preview.plane(layer))
        names = class_names(labels) if isinstance(labels, Labels) else {}
        wanted = [tick.isChecked() for tick in self.ticks.values()]
        if not any(wanted):
            raise InputError("Tick at least one model, two to compare.")
        return lambda report: _compared(lesson, kind, names, wanted, options, report)

    def show_on_the_way(self, thing: Any) -> None:
        if isinstance(thing, Row):
            self.table.add(thing)
        else:
            self.table.begin(thing)
            self.table.show()

    def show_result(self, layer: Layer, options: ScoreboardOptions, result: Scoreboard) -> str:
        if not result.rows:
            return result.recommendation
        self._board, self._used, self._kept = result, None, {}
        if result.kept is None:
            return result.recommendation
        name = self._use(result.kept)
        others = sum(row.model is not None for row in result.rows) > 1
        click = ", or click another model to use that" if others else ""
        note = f" {self._note}" if self._note else ""
        return f"{result.recommendation} Kept as {name!r}.{note} Next: Predict{click}."

    def shown(self) -> None:
        # Importing torch and compiling the filters takes seconds: start while the user paints.
        self._warm.ask_soon(lambda progress: warm_up())

    def refresh(self) -> None:
        super().refresh()
        if not self.running:
            board = self._board
            self.table.show_rows(() if board is None else board.rows, self._used)
            self.table.setVisible(board is not None)
        else:
            self.table.setVisible(self.table.rowCount() > 0)

    def close_tool(self) -> None:
        if not self._closed:
            self.labels.close_events()
        super().close_tool()

    # Actions

    @property
    def board(self) -> Scoreboard | None:
        """The result of the last run."""
        return self._board

    # Wiring

    def _on_labels(self, labels: Layer | None) -> None:
        if labels is not None:
            show_kind(self.kind, labels)

    def _on_chosen(self, row: Row) -> None:
        if self.running:
            self.say("A model can be chosen when all are done, or after Stop.")
        elif row.model is None:
            self.say(row.message, problem=True)
        else:
            name = self._use(row)
            self.say(
                f"Predict now uses {name!r}, a {row.label}. {describe_score(row.model.scores)}"
            )
            self.refresh()

    def _use(self, row: Row) -> str:
        """Pass the model of a row to Predict, and return its name."""
        if row.model is None:
            raise ValueError("There is no model in this row.")
        if row not in self._kept:
            name = self.session.name_for(row.kind)
            self._kept[row] = replace(row.model, name=name)
        self.session.use_model(self._kept[row])
        self._used = row
        return self._kept[row].name


def _compared(
    lesson: TrainingPair,
    labels_are: Any,
    names: Mapping[int, str],
    wanted: Sequence[bool],
    options: ScoreboardOptions,
    report: Reporter,
) -> Scoreboard:
    values = values_of([lesson.labels], labels_are)
    kinds = [k for k, one in zip(rungs_for(len(values)), wanted, strict=True) if one]
    report.show(tuple(kinds))
    return compare(
        [RUNGS[kind].spec() for kind in kinds],
        [lesson],
        TrainOptions(**options.model_dump()),
        labels_are=labels_are,
        class_names=class_names_of(values, labels_are, names) if names else (),
        on_row=report.show,
        progress=report,
    )
