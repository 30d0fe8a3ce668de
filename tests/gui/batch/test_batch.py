"""The Batch dock on a bare viewer model: following, running, breaking, going on."""

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent

from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, read_labels, write_image
from napari_unetseg.core.recipe import (
    MeasurementStep,
    Recipe,
    ThresholdStep,
    read_recipe,
    run_recipe,
    write_recipe,
)
from napari_unetseg.core.samples import nuclei
from napari_unetseg.gui.background.background_dock import BackgroundWidget
from napari_unetseg.gui.batch import batch_dock as module
from napari_unetseg.gui.batch import batch_run
from napari_unetseg.gui.batch.batch_dock import BatchWidget
from napari_unetseg.gui.batch.batch_list import BatchList, BatchModel
from napari_unetseg.gui.threshold.threshold_dock import ThresholdWidget

RECIPE = Recipe(
    background=BackgroundOptions(terms="plane"),
    threshold=ThresholdStep(result="objects", min_size=9),
    measurement=MeasurementStep(),
)


@pytest.fixture
def viewer():
    made = ViewerModel()
    made.layers.selection.active = made.add_image(nuclei((72, 80), seed=0).image, name="cells")
    return made


@pytest.fixture
def dock(qtbot, viewer):
    made = BatchWidget(viewer)
    qtbot.addWidget(made)
    yield made
    made.close_tool()
    qtbot.waitUntil(lambda: not made.busy, timeout=30000)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "in"
    for seed in range(3):
        write_image(place / f"n{seed}.tif", nuclei((48, 56), seed=seed).as_image())
    (place / "broken.tif").write_bytes(b"broken")
    write_recipe(tmp_path / "recipe.yaml", RECIPE)
    return place


def idle(qtbot, dock):
    qtbot.waitUntil(lambda: not dock.busy, timeout=60000)


def ready(qtbot, dock, folder):
    """Open the recipe and put the images on the list."""
    dock.open_recipe(folder.parent / "recipe.yaml")
    dock.add([folder])
    idle(qtbot, dock)


def click(dock, name):
    dock.page.buttons[name].click()


def can(dock):
    return {name for name, button in dock.page.buttons.items() if button.isEnabled()}


def said(dock):
    return dock.page.message.text()


def states(dock):
    rows = [dock.images.rows.row_of(number) for number in range(len(dock.images.rows.paths))]
    return ["" if row is None else row.state for row in rows]


def run_tool(qtbot, tool):
    qtbot.addWidget(tool)
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)


def test_with_nothing_nothing_can_be_clicked_but_what_begins(dock):
    assert can(dock) == {"open", "files", "folder", "place"}
    dock.run()
    dock.look()
    dock.export()
    dock.remove()
    assert not dock.busy


def test_it_follows_what_is_done_in_the_window(qtbot, viewer, dock):
    tool = ThresholdWidget(viewer)
    tool.form.set(min_size=7)
    run_tool(qtbot, tool)
    idle(qtbot, dock)
    assert dock.editor.recipe() == Recipe(threshold=ThresholdStep(min_size=7))
    tool.form.set(min_size=8)
    run_tool(qtbot, tool)
    idle(qtbot, dock)
    assert dock.editor.recipe() == Recipe(threshold=ThresholdStep(min_size=8))
    dock.editor.text.setPlainText(dock.editor.text.toPlainText().replace("8", "88"))
    tool.form.set(min_size=5)
    run_tool(qtbot, tool)
    idle(qtbot, dock)
    assert dock.editor.recipe().threshold.min_size == 88, "what a hand wrote is not overwritten"
    click(dock, "take")
    idle(qtbot, dock)
    assert dock.editor.recipe().threshold.min_size == 5
    tool.close_tool()


def test_a_recipe_on_its_way_is_no_missing_one(qtbot, viewer, dock):
    tool = ThresholdWidget(viewer)
    run_tool(qtbot, tool)
    idle(qtbot, dock)
    dock.editor.show_recipe(None)
    assert dock.editor.remark.text().startswith("No recipe yet")
    dock.take()
    assert dock.editor.recipe() is None
    assert dock.editor.remark.text() == "Reading the steps..."
    idle(qtbot, dock)
    assert "threshold" in dock.editor.remark.text()
    dock.editor.show_recipe(None)
    assert dock.editor.remark.text().startswith("No recipe yet")
    tool.close_tool()


def test_all_columns_fit_a_narrow_dock_and_names_take_the_room_that_is_left(qtbot):
    images = BatchList()
    qtbot.addWidget(images)
    images.show()
    for width in (262, 600, 262):
        images.resize(width, 200)
        qtbot.waitUntil(lambda: images.width() == width)  # noqa: B023
        across, seen = images.horizontalHeader(), images.viewport()
        qtbot.waitUntil(lambda: across.length() == seen.width())  # noqa: B023
        qtbot.waitUntil(lambda: images.horizontalScrollBar().maximum() == 0)


def test_the_text_is_checked_while_it_is_typed(qtbot, dock, folder):
    ready(qtbot, dock, folder)
    assert "run" in can(dock)
    good = dock.editor.text.toPlainText()
    dock.editor.text.setPlainText(good.replace("min_size: 9", "min_siz: 9"))
    qtbot.waitUntil(lambda: "min_siz" in dock.editor.remark.text(), timeout=5000)
    assert "Did you mean min_size?" in dock.editor.remark.text()
    assert dock.editor.text.extraSelections()
    assert not {"run", "save", "export", "look"} & can(dock)
    dock.editor.text.setPlainText(good)
    qtbot.waitUntil(lambda: "run" in can(dock), timeout=5000)
    assert not dock.editor.text.extraSelections()


def test_it_runs_all_and_says_which_failed(qtbot, dock, folder):
    ready(qtbot, dock, folder)
    click(dock, "run")
    assert dock.running
    assert "run" not in can(dock)
    dock.run()
    idle(qtbot, dock)
    assert states(dock) == ["failed", "done", "done", "done"]
    assert "3 of 4 images done, 1 failed; " in said(dock)
    out = folder.parent / "in results"
    assert len(read_labels(out / "labels" / "n0.tif").shape) == 2
    rows = dock.images.rows
    heads = [rows.headerData(k, Qt.Orientation.Horizontal) for k in range(rows.columnCount())]
    assert heads[:4] == ["Image", "State", "Objects", "Time"]
    assert "area_um2" in heads
    failed = rows.data(rows.index(0, 1), Qt.ItemDataRole.ToolTipRole)
    assert "broken.tif" in failed
    dock.images.clicked.emit(rows.index(0, 0))
    assert said(dock) == failed
    assert float(rows.data(rows.index(1, heads.index("area_um2")))) > 0
    click(dock, "run")
    idle(qtbot, dock)
    assert states(dock) == ["failed", "kept", "kept", "kept"]


def test_an_image_whose_background_may_be_wrong_is_marked(qtbot, dock, tmp_path):
    rng = np.random.default_rng(3)
    data = rng.normal(160, 2, (128, 128))
    data -= 60 * np.kron(np.indices((16, 16)).sum(0) % 16 == 0, np.ones((8, 8)))
    write_image(tmp_path / "in" / "full.tif", Image.of(data.astype(np.float32)))
    recipe = Recipe(background=BackgroundOptions(terms="plane", robust="bright"))
    write_recipe(tmp_path / "recipe.yaml", recipe)
    ready(qtbot, dock, tmp_path / "in")
    for state in ("done ?", "done before ?"):
        click(dock, "run")
        idle(qtbot, dock)
        assert "1 may be wrong (?)" in said(dock)
        assert dock.images.rows.data(dock.images.rows.index(0, 1)) == state
        dock.images.clicked.emit(dock.images.rows.index(0, 0))
        assert said(dock).startswith("The background may be wrong: it does not follow")


def test_a_cancel_keeps_what_is_finished_and_the_next_run_goes_on(qtbot, dock, folder):
    for seed in range(3, 12):
        write_image(folder / f"n{seed:02}.tif", nuclei((96, 96), seed=seed).as_image())
    ready(qtbot, dock, folder)
    click(dock, "run")
    qtbot.waitUntil(lambda: dock.images.rows.n_in("done") > 0, timeout=60000)
    click(dock, "cancel")
    idle(qtbot, dock)
    n = dock.images.rows.n_in("done")
    assert 0 < n < 12
    assert "continues from there" in said(dock)
    click(dock, "run")
    idle(qtbot, dock)
    assert states(dock).count("kept") >= n
    assert states(dock).count("failed") == 1
    assert "12 of 13 images done" in said(dock)


def test_results_of_another_recipe_are_replaced_only_when_a_person_says_so(
    qtbot, dock, folder, monkeypatch
):
    ready(qtbot, dock, folder)
    click(dock, "run")
    idle(qtbot, dock)
    out = folder.parent / "in results"
    before = (out / "finished.jsonl").read_bytes()
    text = dock.editor.text.toPlainText()
    dock.editor.text.setPlainText(text.replace("min_size: 9", "min_size: 19"))
    monkeypatch.setattr(module, "ask", lambda *words: False)
    dock.run()
    assert not dock.running
    assert (out / "finished.jsonl").read_bytes() == before
    monkeypatch.setattr(module, "ask", lambda *words: True)
    dock.run()
    idle(qtbot, dock)
    assert states(dock) == ["failed", "done", "done", "done"]
    assert read_recipe(out / "recipe.yaml").threshold.min_size == 19


def test_files_that_no_recipe_made_are_not_overwritten(qtbot, dock, folder, tmp_path):
    truth = tmp_path / "set" / "labels" / "n1.tif"
    write_image(truth, nuclei((16, 16), seed=0).as_image())
    before = truth.read_bytes()
    ready(qtbot, dock, folder)
    dock.page.out.setText(str(tmp_path / "set"))
    click(dock, "run")
    idle(qtbot, dock)
    assert "no recipe has made it" in said(dock)
    assert truth.read_bytes() == before
    assert states(dock) == [""] * 4


def test_a_folder_that_vanishes_is_said_so(qtbot, dock, folder):
    ready(qtbot, dock, folder)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    click(dock, "run")
    idle(qtbot, dock)
    assert states(dock) == ["failed"] * 4
    assert "0 of 4 images done, 4 failed" in said(dock)
    dock.add([folder])
    idle(qtbot, dock)
    assert "There is no file or folder" in said(dock)


def test_one_is_looked_at_made_now_or_as_it_was_written(qtbot, viewer, dock, folder):
    ready(qtbot, dock, folder)
    before = len(viewer.layers)
    dock.look(1)
    idle(qtbot, dock)
    assert "computed just now" in said(dock)
    names = [layer.name for layer in viewer.layers][before:]
    assert names == ["n0", "n0 flattened", "n0 labels"]
    made = viewer.layers["n0 labels"].data
    np.testing.assert_allclose(viewer.layers["n0 labels"].scale, (0.65, 0.65))
    click(dock, "run")
    idle(qtbot, dock)
    dock.look(1)
    idle(qtbot, dock)
    assert "saved result" in said(dock)
    assert [layer.name for layer in viewer.layers][before:] == ["n0", "n0 labels"]
    np.testing.assert_array_equal(viewer.layers["n0 labels"].data, made)
    dock.look(0)
    idle(qtbot, dock)
    assert "cannot be read" in said(dock)


def test_images_larger_than_memory_are_done_block_by_block(
    qtbot, viewer, dock, folder, monkeypatch
):
    monkeypatch.setattr(batch_run, "too_large", lambda batch, paths: [paths[0]])
    monkeypatch.setattr(batch_run, "expected_cost", lambda batch, paths, progress: "about 3 min")
    told = []
    monkeypatch.setattr(dock, "_on_progressed", lambda fraction, message: told.append(message))
    ready(qtbot, dock, folder)
    click(dock, "run")
    idle(qtbot, dock)
    assert states(dock) == ["failed", "done", "done", "done"]
    written = folder.parent / "in results" / "labels" / "n1.zarr"
    assert any("(all: about 3 min)" in message for message in told)
    image = read_image(folder / "n1.tif")
    np.testing.assert_array_equal(
        read_labels(written).asarray(), run_recipe(RECIPE, image).labels.data
    )
    dock.look(2)
    idle(qtbot, dock)
    assert "saved result" in said(dock)
    assert viewer.layers["n1 labels"].data.shape == image.shape


def test_recipes_are_saved_and_opened_and_what_is_none_is_said_so(qtbot, dock, folder, tmp_path):
    ready(qtbot, dock, folder)
    dock.save_recipe(tmp_path / "other")
    idle(qtbot, dock)
    assert read_recipe(tmp_path / "other.yaml") == RECIPE
    assert dock.path == tmp_path / "other.yaml"
    (tmp_path / "bad.yaml").write_text("nonsense")
    dock.open_recipe(tmp_path / "bad.yaml")
    idle(qtbot, dock)
    assert "bad.yaml" in said(dock)
    assert dock.editor.recipe() == RECIPE


def test_exports_are_shown_and_copied(qtbot, dock, folder):
    ready(qtbot, dock, folder)
    click(dock, "export")
    idle(qtbot, dock)
    dialog = dock.dialog
    assert dialog.isVisible()
    assert "Otsu 1979" in dialog.text()
    dialog.tabs.setCurrentIndex(1)
    assert dialog.text().startswith("napari-unetseg run ")
    assert "recipe.yaml" in dialog.text()
    dialog.tabs.setCurrentIndex(2)
    assert "seg.flatten(" in dialog.text()
    dialog.copy()
    dialog.reject()


def test_drops_are_images_or_a_recipe(qtbot, dock, folder):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(p)) for p in (folder, folder.parent / "recipe.yaml")])
    point, copy, left = QPointF(5, 5), Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    dock.dropEvent(QDropEvent(point, copy, data, left, Qt.KeyboardModifier.NoModifier))
    idle(qtbot, dock)
    assert [path.name for path in dock.images.rows.paths] == [
        "broken.tif",
        "n0.tif",
        "n1.tif",
        "n2.tif",
    ]
    assert dock.editor.recipe() == RECIPE
    dock.images.selectRow(0)
    click(dock, "remove")
    assert len(dock.images.rows.paths) == 3
    dock.images.clearSelection()
    click(dock, "remove")
    assert not dock.images.rows.paths


def test_a_dock_closed_in_mid_run_ends_it(qtbot, viewer, folder):
    dock = BatchWidget(viewer)
    qtbot.addWidget(dock)
    ready(qtbot, dock, folder)
    click(dock, "run")
    dock.close_tool()
    idle(qtbot, dock)
    tool = BackgroundWidget(viewer)
    run_tool(qtbot, tool)
    tool.close_tool()
    assert not dock.busy


def test_axes_and_channels_are_chosen_for_all_images_and_kept_in_the_recipe(qtbot, dock, tmp_path):
    planes = nuclei((3, 48, 56), seed=0).image
    two = Image(np.stack([np.zeros_like(planes), planes]), "CZYX", channel_names=("a", "b"))
    write_image(tmp_path / "in" / "two.tif", two)
    write_recipe(tmp_path / "recipe.yaml", RECIPE)
    line = dock.page.axes_line
    ready(qtbot, dock, tmp_path / "in")
    qtbot.waitUntil(lambda: not line.isHidden(), timeout=30000)
    assert "two.tif: axes " in line.text.text()
    line.channel.setCurrentIndex(line.channel.findData("b"))
    line.channel.activated.emit(2)
    idle(qtbot, dock)
    assert "channel: b" in dock.editor.text.toPlainText()
    assert line.channel.currentData() == "b"
    dock.run()
    idle(qtbot, dock)
    row = dock.images.rows.row_of(0)
    assert row.state == "done", row.message
    # The first channel is empty.
    assert row.objects > 1
    dock.remove()
    idle(qtbot, dock)
    assert line.isHidden()


def test_the_notes_on_the_first_image_are_shown(qtbot, dock, tmp_path):
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        for name in ("left", "right"):
            file.write(np.zeros((8, 9), np.uint8), metadata={"axes": "YX", "Name": name})
    dock.add([path])
    line = dock.page.axes_line
    qtbot.waitUntil(lambda: not line.isHidden(), timeout=30000)
    assert "holds 2 images (0 left, 1 right)" in line.text.text()


def test_a_list_of_many_is_cheap_to_change(folder):
    rows = BatchModel()
    rows.show_paths([folder / f"{k}.tif" for k in range(50_000)])
    rows.begin()
    assert rows.data(rows.index(49_999, 1)) == "waiting"
    rows.end()
    assert rows.data(rows.index(49_999, 1)) == ""
