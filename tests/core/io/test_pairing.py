"""Files are paired by names that people give them, and never by a guess."""

import pytest

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io.pairing import pair_paths

NAMES = ("images", "labels")


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("x")

    return make


def paired(first, second):
    found = pair_paths(first, second, names=NAMES)
    return found, [(pair.stem, str(pair.first), str(pair.second)) for pair in found.pairs]


@pytest.mark.parametrize(
    "ending", ["_mask", "_masks", "_label", "_labels", "_seg", "_cp_masks", "_gt", "-Mask"]
)
def test_known_endings_are_left_out_and_named(files, ending):
    files("i/a.tif", "i/b.tif", f"l/a{ending}.png", f"l/b{ending}.png")
    found, pairs = paired("i", "l")
    assert pairs == [
        ("a", "i/a.tif", f"l/a{ending}.png"),
        ("b", "i/b.tif", f"l/b{ending}.png"),
    ]
    assert found.rule == (
        f"Paired by name without the ending {ending}, such as a.tif with a{ending}.png."
    )


def test_images_of_nnunet_have_one_channel_each(files):
    files("imagesTr/c_0_0000.png", "imagesTr/c_1_0000.png", "labelsTr/c_0.png", "labelsTr/c_1.png")
    found, pairs = paired("imagesTr", "labelsTr")
    assert [stem for stem, *_ in pairs] == ["c_0", "c_1"]
    assert "_0000" in found.rule
    files("imagesTr/c_0_0001.png")
    with pytest.raises(InputError, match="channels of one image"):
        paired("imagesTr", "labelsTr")
    assert len(paired("imagesTr/*_0000.png", "labelsTr")[1]) == 2


def test_images_and_labels_may_share_a_folder(files):
    files("d/a.tif", "d/a_masks.tif", "d/b.tif", "d/b_masks.tif", "d/c.tif")
    expected = [("a", "d/a.tif", "d/a_masks.tif"), ("b", "d/b.tif", "d/b_masks.tif")]
    for first, second in (("d", "d"), ("d", "d/*_masks.tif"), ("d/?.tif", "d/*_masks.tif")):
        found, pairs = paired(first, second)
        assert pairs == expected
        assert [path.name for path in found.alone[0]] == ["c.tif"]


@pytest.mark.parametrize(
    ("first", "second"), [("i", "l"), ("i/**/*.tif", "l/**/*.tif"), ("i/*/*.tif", "l")]
)
def test_equal_names_in_subfolders_pair_by_folder(files, first, second):
    files(*(f"{side}/{plate}/img.tif" for side in "il" for plate in ("p1", "p2")))
    found, pairs = paired(first, second)
    assert pairs == [
        ("p1/img", "i/p1/img.tif", "l/p1/img.tif"),
        ("p2/img", "i/p2/img.tif", "l/p2/img.tif"),
    ]
    assert found.rule == "Paired by the names of subfolders and files."


def test_folders_of_a_kind_do_not_count(files):
    files(*(f"{p}/{kind}/x.tif" for p in ("p1", "p2") for kind in ("images", "masks")))
    assert [stem for stem, *_ in paired("*/images/*.tif", "*/masks/*.tif")[1]] == ["p1/x", "p2/x"]
    files(*(f"q/{p}/{kind}.tif" for p in ("p1", "p2") for kind in ("image", "mask")))
    assert [stem for stem, *_ in paired("q/*/image.tif", "q/*/mask.tif")[1]] == ["p1", "p2"]


def test_numbers_at_the_end_stay_equal_names(files):
    files(*(f"{side}/t_000{k}.tif" for side in "il" for k in range(3)))
    found, pairs = paired("i", "l")
    assert [stem for stem, *_ in pairs] == ["t_0000", "t_0001", "t_0002"]
    assert not found.rule


@pytest.mark.parametrize(
    "names",
    [
        ("i/a.tif", "i/b.tif", "l/a_mask.tif", "l/a_seg.tif"),
        ("i/a.tif", "i/b.tif", "l/a.tif", "l/a_mask.tif"),
        ("i/a_raw.tif", "i/a.tif", "l/a_mask.tif"),
    ],
)
def test_several_candidates_are_refused(files, names):
    files(*names)
    with pytest.raises(InputError, match="not clear which"):
        paired("i", "l")


def test_no_partner_names_what_would_be_one(files):
    files("i/a.tif", "l/x.tif", "l/y.tif")
    with pytest.raises(InputError, match=r"needs one named 'a'.*_mask"):
        paired("i", "l")
