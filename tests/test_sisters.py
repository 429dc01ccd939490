"""The datasets with files of ReVOS's kind, loaded through the same builder: `revoskit.dataset.families`."""

import json
import os
import pickle
import re
import shutil

import datasets
import msgspec
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

import revos
from revoskit import Clips, cli, collate, miniature, open_frame
from revoskit.checking import alignment
from revoskit.checking.check import check
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.families import FAMILIES, REVOS
from revoskit.dataset.layout import EXPRESSIONS, Layout
from revoskit.dataset.records import UnsizedError, Video
from revoskit.dataset.remapping import Linear, write_mapping
from revoskit.errors import AnnotationError, MissingFilesError, UsageError
from revoskit.export import TARGETS, export
from revoskit.getting.checksums import count_frames
from revoskit.looking import pictures

SISTERS = [family for family in FAMILIES if family != REVOS]
SHOWN = [(family, split) for family in SISTERS for split, files in FAMILIES[family].splits.items() if not files.hidden]
HIDDEN = [(family, split) for family in SISTERS for split, files in FAMILIES[family].splits.items() if files.hidden]


@pytest.fixture(scope="module")
def sisters(tmp_path_factory):
    """Every family's miniature, by name."""
    folder = tmp_path_factory.mktemp("sisters")
    return {
        family: miniature.write_sister(folder / family, family, frames=4, height=48, width=80) for family in SISTERS
    }


@pytest.fixture(scope="module")
def load(sisters, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def loaded(family, config="expressions"):
        builder = revos.Revos(
            config_name=config, data_dir=str(sisters[family].root), family=family, cache_dir=str(cache)
        )
        builder.download_and_prepare()
        return builder.as_dataset()

    return loaded


@pytest.mark.parametrize("family", SISTERS)
def test_every_split_of_a_sister_loads(load, family):
    loaded = load(family)

    assert list(loaded) == list(FAMILIES[family].splits)
    assert all(len(rows) > 0 for rows in loaded.values())


@pytest.mark.parametrize(("family", "split"), SHOWN)
def test_masks_and_frames_are_those_of_the_split(sisters, load, family, split):
    pixels = sisters[family].pixels
    for row in load(family)[split]:
        masks = coco.decode(row["masks"]).transpose(2, 0, 1)
        np.testing.assert_array_equal(masks, sum((pixels[i] for i in row["annotation_ids"]), np.zeros_like(masks)) > 0)
        assert len(row["masks"]) == len(row["frame_names"]) == len(row["frames"])
        files = FAMILIES[family].splits[split]
        folder = sisters[family].root / files.frames[0] / row["video_id"] / files.frames_within
        assert [frame["path"] for frame in row["frames"]] == [str(folder / f"{n}.jpg") for n in row["frame_names"]]


@pytest.mark.parametrize("ending", ["zip", "tar"])
@pytest.mark.parametrize("family", SISTERS)
def test_frames_are_read_from_the_archive_of_a_folder_where_it_lies(sisters, tmp_path, family, ending):
    root = shutil.copytree(sisters[family].root, tmp_path / "packed")
    for folder in {root / files.frames[0] for files in FAMILIES[family].splits.values()}:
        if folder.is_dir():
            shutil.make_archive(folder, ending, folder.parent, folder.name)
            for path in folder.rglob("*.jpg"):
                path.unlink()
    options = {"data_dir": str(root), "family": family, "cache_dir": str(tmp_path / "cache")}
    for split, rows in datasets.load_dataset(revos.NAME, **options).items():
        unpacked = Layout.at(sisters[family].root, family).split(split)
        for row in rows:
            folder = unpacked.video_folder(row["video_id"])
            for name, frame in zip(row["frame_names"], row["frames"], strict=True):
                assert frame["path"].startswith(f"{ending}://")
                assert open_frame(frame) == Image.open(folder / f"{name}.jpg").convert("RGB")
    split, video = next(
        (split, rows[0]["video_id"]) for split, rows in datasets.load_dataset("revos", **options).items()
    )
    assert len(Layout.at(root, family).split(split).folder_frames(video)) == 4


@pytest.mark.parametrize(
    ("family", "split", "name"),
    [("mevis", "valid_u", "valid_u"), ("lv_vis", "train", "train"), ("fevos", "train", "jpegimages")],
)
def test_the_archive_may_be_of_a_folder_above_that_of_the_frames(sisters, tmp_path, family, split, name):
    root = shutil.copytree(sisters[family].root, tmp_path / "packed")
    top = FAMILIES[family].splits[split].frames[0].split("/")[0]
    shutil.make_archive(str(root / name), "zip", root, top)
    shutil.rmtree(root / FAMILIES[family].splits[split].frames[0])
    annotations = open_annotations(Layout.at(root, family), split)
    assert annotations.missing_frames() == {}
    assert {frame.file for video in annotations for frame in annotations.files.frames(video)}


def test_an_archive_of_frames_that_comes_or_goes_is_noticed(sisters, tmp_path):
    root = shutil.copytree(sisters["mevis"].root, tmp_path / "packed")
    options = {"data_dir": str(root), "family": "mevis", "cache_dir": str(tmp_path / "cache"), "split": "train"}
    shutil.make_archive(root / "train" / "JPEGImages", "zip", root / "train", "JPEGImages")
    shutil.move(root / "train" / "JPEGImages", tmp_path / "aside")
    assert datasets.load_dataset(revos.NAME, **options)[0]["frames"][0]["path"].startswith("zip://")
    (root / "train" / "JPEGImages.zip").unlink()
    with pytest.raises(MissingFilesError, match="or their archive beside the folder"):
        datasets.load_dataset(revos.NAME, **options)


@pytest.mark.parametrize("family", SISTERS)
def test_a_sister_has_no_expression_types(load, family):
    assert all(row["expression_type"] is None for rows in load(family).values() for row in rows)


@pytest.mark.parametrize(("family", "split"), HIDDEN)
def test_a_hidden_split_has_no_masks_rather_than_empty_ones(load, family, split):
    row = load(family)[split][0]
    video = load(family, "videos")[split][0]

    assert row["masks"] == row["object_ids"] == row["annotation_ids"] == []
    assert len(row["frames"]) == 4
    assert video["tracks"] == video["foreground"] == []
    assert all(expression["annotation_ids"] == [] for expression in video["expressions"])


def test_a_target_that_is_not_there_has_empty_masks(load):
    rows = [row for row in load("mevis_v2")["train"] if not row["annotation_ids"]]

    assert rows
    assert all(len(row["masks"]) == 4 and not coco.decode(row["masks"]).any() for row in rows)


def test_the_videos_of_a_sister_carry_their_tracks(sisters, load):
    video = load("fevos", "videos")["validation"][0]

    assert [track["annotation_id"] for track in video["tracks"]] == [3003010, 3003011, 3003012]
    ball = coco.decode([mask for mask in video["tracks"][0]["masks"] if mask is not None]).transpose(2, 0, 1)
    np.testing.assert_array_equal(ball, sisters["fevos"].pixels[3003010])


def test_the_words_of_lv_vis_are_told_apart_by_spaces(sisters, load):
    stored = json.loads((sisters["lv_vis"].root / "train/meta_expressions.json").read_bytes())

    assert stored["videos"]["00000"]["expressions"]["0"]["exp"].startswith("the_")
    assert not any("_" in row["expression"] for row in load("lv_vis")["train"])


def test_lv_vis_annotations_may_lie_beside_the_split(sisters, tmp_path):
    root = tmp_path / "lv_vis"
    miniature.write_sister(root, "lv_vis", videos=1, frames=2, height=32, width=48)
    for name in ("mask_dict.json", "meta_expressions.json"):
        (root / "train" / name).rename(root / name)

    video = open_annotations(Layout.at(root, "lv_vis"), "train").video("00000")

    assert Layout.at(root, "lv_vis").split("train").tracks == root / "mask_dict.json"
    assert Layout.at(root, "lv_vis").split("train").frames(video)[0].path.endswith("00000.jpg")


def test_a_size_that_is_not_said_is_read_from_the_first_frame(sisters, load):
    stored = json.loads((sisters["mevis"].root / "valid/meta_expressions.json").read_bytes())["videos"]
    rows = load("mevis")["valid"]

    assert not any("height" in video for video in stored.values())
    assert {(row["height"], row["width"]) for row in rows} == {(48, 80)}


def test_a_size_that_can_be_read_nowhere_is_an_error(tmp_path):
    root = miniature.write_sister(tmp_path / "m", "mevis", videos=3, frames=2, height=32, width=48).root
    frame = min((root / "valid/JPEGImages").rglob("*.jpg"))
    for picture in frame.parent.iterdir():
        picture.unlink()

    layout, video_id = Layout.at(root, "mevis"), frame.parent.name
    told = open_annotations(layout, "valid")
    assert video_id not in told.videos
    said = str(told.unsized[video_id])
    assert re.search(r"does not say its height and width.*expected .*00000\.jpg", said)
    with pytest.raises(AnnotationError, match="does not say its height and width"):
        pictures.find_scene(layout, video_id)
    for content in (b"not a picture", b"P6 100000 100000 255\n"):  # the second is refused for being so large
        frame.write_bytes(content)
        with pytest.raises(AnnotationError, match="is no picture"):
            open_annotations(Layout.at(root, "mevis"), "valid")


@pytest.fixture
def sizeless(tmp_path):
    """A MeViS that says no size: `train` has two videos, the hidden `valid` one; their folders, and how to load it."""
    root = miniature.write_sister(tmp_path / "m", "mevis", videos=5, frames=3, height=32, width=48).root
    for split in ("train", "valid"):
        path = root / split / "meta_expressions.json"
        document = json.loads(path.read_bytes())
        for video in document["videos"].values():
            for said in ("height", "width"):
                video.pop(said, None)
        path.write_text(json.dumps(document))
    folders = {split: sorted((root / split / "JPEGImages").iterdir()) for split in ("train", "valid")}

    def build(missing_frames, **options):
        builder = revos.Revos(
            data_dir=str(root),
            config_name="videos",
            family="mevis",
            missing_frames=missing_frames,
            **options,
            cache_dir=str(tmp_path / "c"),
        )
        builder.download_and_prepare()
        return builder.as_dataset()

    return folders, build


def _lose(folder, names=("00000", "00001", "00002")):
    for name in names:
        (folder / f"{name}.jpg").unlink()


@pytest.mark.parametrize("lost", [["00000"], ["00000", "00001", "00002"]])
def test_a_video_without_a_size_can_be_left_out_for_its_missing_frames(sizeless, lost):
    folders, build = sizeless
    _lose(folders["train"][0], lost)

    with pytest.warns(UserWarning, match="has left 1 video out of .* frame-missing: train"):
        rows = build("skip_video")

    assert [row["video_id"] for row in rows["train"]] == [folders["train"][1].name]


def test_a_hidden_video_whose_size_nothing_tells_can_be_left_out(sizeless):
    folders, build = sizeless
    for split in ("valid", "train"):
        _lose(folders[split][0])
    shutil.rmtree(folders["train"][1])

    with pytest.warns(UserWarning, match="something is wrong with each of its videos") as warned:
        assert list(build("skip_video")) == ["valid_u", "test"]
    assert {str(warning.message) for warning in warned} >= {
        f"{split} is left out: something is wrong with each of its videos" for split in ("train", "valid")
    }


def test_frames_that_come_back_give_a_video_its_size(sizeless):
    folders, build = sizeless
    aside = folders["valid"][0].with_name("aside")
    folders["valid"][0].rename(aside)
    with pytest.warns(UserWarning, match="valid is left out"):
        assert "valid" not in build("skip_video")
    aside.rename(folders["valid"][0])

    assert build("skip_video")["valid"][0]["height"] == 32


def test_a_size_that_is_not_said_is_read_from_another_frame_or_a_mask_where_the_first_is_missing(sizeless):
    folders, build = sizeless
    _lose(folders["train"][0], ["00000"])
    _lose(folders["train"][1])

    rows = build("keep")["train"]

    assert sorted((row["height"], row["width"]) for row in rows) == [(32, 48), (48, 32)]
    assert [len(row["foreground"]) for row in rows] == [3, 3]
    assert [frame is None for frame in rows[0]["frames"]] == [True, False, False]


def test_a_size_that_nothing_tells_is_an_error_where_its_video_is_to_be_kept(sizeless):
    folders, build = sizeless
    _lose(folders["valid"][0])

    with pytest.raises(AnnotationError) as error:
        build("keep")
    said = str(error.value)
    assert f"video {folders['valid'][0].name!r} does not say its height and width" in said
    assert "faults='skip'" in said
    assert "check" not in said


def test_missing_frames_are_the_error_even_where_they_would_have_told_the_size(sizeless):
    folders, build = sizeless
    _lose(folders["train"][0], ["00000"])
    _lose(folders["valid"][0])

    with pytest.raises(MissingFilesError) as error:
        build("error")
    assert f"train: 1 of 6 frames, in 1 of 2 videos: {folders['train'][0].name}/00000.jpg" in str(error.value)
    assert f"valid: 3 of 3 frames, in 1 of 1 videos: {folders['valid'][0].name}/00000.jpg" in str(error.value)
    assert "faults='skip'" in str(error.value)
    assert "'keep'" not in str(error.value)  # which would be an error too


def test_a_size_is_read_from_the_next_frame_where_the_first_is_broken(sizeless):
    folders, build = sizeless
    (folders["train"][0] / "00000.jpg").write_bytes(b"")
    rows = build("error")["train"]
    assert sorted((row["height"], row["width"]) for row in rows) == [(32, 48), (48, 32)]


@pytest.mark.parametrize(("side", "right"), [("height", 32), ("width", 48)])
def test_one_side_that_is_said_must_be_that_of_the_frames(sizeless, side, right):
    folders, build = sizeless
    path = folders["valid"][0].parents[1] / "meta_expressions.json"
    document = json.loads(path.read_bytes())
    (video,) = document["videos"].values()
    for length in (right, right + 1):
        path.write_text(json.dumps({"videos": {folders["valid"][0].name: {**video, side: length}}}))
        if length == right:
            assert build("error")["valid"][0][side] == right
            continue
        with pytest.raises(AnnotationError, match=rf"says {side} {length}, and its frames are 32x48 pixels"):
            build("error")


def test_sizes_follow_frames_that_are_replaced(sizeless):
    folders, build = sizeless
    assert build("error")["valid"][0]["height"] == 32
    for frame in folders["valid"][0].iterdir():
        frame.unlink()
        Image.new("RGB", (20, 10)).save(frame)
    row = build("error")["valid"][0]
    assert (row["height"], row["width"]) == (10, 20)


def test_a_video_whose_size_nothing_tells_is_no_matter_to_the_others(sizeless, tmp_path, capsys):
    folders, _ = sizeless
    _lose(folders["valid"][0])
    root = folders["valid"][0].parents[2]
    arguments = ["--family", "mevis", "--data-dir", str(root)]

    shown, lost = folders["train"][0].name, folders["valid"][0].name
    assert cli.main(["show", *arguments, shown, "0", "-o", str(tmp_path / "sheet.png")]) == 0
    assert cli.main(["show", *arguments, lost, "0", "-o", str(tmp_path / "sheet.png")]) == 2
    assert "does not say its height and width" in capsys.readouterr().err
    assert cli.main(["stats", *arguments, "--json"]) == 0
    counted = {row["split"]: row for row in json.loads(capsys.readouterr().out) if row["source"] == "all"}
    assert (counted["valid"]["videos"], counted["valid"]["sizes"]) == (1, {"unknown": 1})
    assert cli.main(["gallery", *arguments, "--split", "valid", "-o", str(tmp_path / "page")]) == 0
    said = capsys.readouterr().err
    assert "1 videos are left out: no frame of them is on disk to tell their size" in said
    assert "valid keeps its masks back" in said
    assert '"hidden":true' in (tmp_path / "page" / "data" / "index.js").read_text()

    with pytest.raises(UsageError, match="valid, test keep their masks back"):
        export(Layout.at(root, "mevis"), "coco", tmp_path / "out")
    _lose(folders["train"][1])
    (root / "train/mask_dict.json").write_text("{}")
    with pytest.raises(MissingFilesError, match=rf"train: 3 frames are not under .*: {folders['train'][1].name}/0"):
        export(Layout.at(root, "mevis"), "coco", tmp_path / "out", ["train"])
    with pytest.raises(UnsizedError):
        alignment.find_misaligned(Layout.at(root, "mevis"), ["train"])


def test_a_mapping_of_a_video_that_is_left_out_is_not_taken_for_one_of_no_video(sizeless, tmp_path, recwarn):
    folders, build = sizeless
    _lose(folders["valid"][0])
    write_mapping(tmp_path / "mapping.json", {folders["valid"][0].name: Linear(stride=1)})
    build("skip_video", alignment=str(tmp_path / "mapping.json"))
    assert not [warning for warning in recwarn if "maps 1 videos" in str(warning.message)]


@pytest.mark.parametrize("size", [[], [32], [0, 48], [32, 2**40], [2**20, 2**20]])
def test_a_mask_that_is_of_no_size_tells_none(sizeless, size):
    folders, build = sizeless
    split = folders["train"][0].parent.parent
    video = json.loads((split / "meta_expressions.json").read_bytes())["videos"][folders["train"][0].name]
    tracks = json.loads((split / "mask_dict.json").read_bytes())
    for annotation_id in {i for expression in video["expressions"].values() for i in expression["anno_id"]}:
        tracks[str(annotation_id)] = [{"size": size, "counts": "x"}] * 3
    (split / "mask_dict.json").write_text(json.dumps(tracks))
    _lose(folders["train"][0])

    with pytest.raises(AnnotationError, match="does not say its height and width"):
        build("keep")


def test_a_hidden_split_whose_masks_are_here_has_them(tmp_path):
    root = miniature.write_sister(tmp_path / "m", "mevis", videos=3, frames=2, height=32, width=48).root
    for name in ("mask_dict.json", "meta_expressions.json"):
        (root / "valid" / name).write_bytes((root / "train" / name).read_bytes())

    annotations = open_annotations(Layout.at(root, "mevis"), "valid")
    video = next(iter(annotations))

    assert not annotations.hidden
    assert len(annotations.masks(video).track(3003000)) == 2


def test_a_hidden_split_that_names_objects_all_the_same_is_shown_without_them(tmp_path):
    root = miniature.write_sister(tmp_path / "m", "mevis", videos=3, frames=2, height=32, width=48).root
    (root / "valid/meta_expressions.json").write_bytes((root / "train/meta_expressions.json").read_bytes())
    shutil.copytree(root / "train/JPEGImages", root / "valid/JPEGImages", dirs_exist_ok=True)
    annotations = open_annotations(Layout.at(root, "mevis"), "valid")
    assert annotations.hidden
    for video in annotations:
        assert video.annotation_ids == ()
        assert all(expression.object_ids == () for expression in video.expressions)
    picture = tmp_path / "shown.png"
    assert cli.main(["show", "--family", "mevis", "--data-dir", str(root), video.video_id, "-o", str(picture)]) == 0
    assert picture.exists()


def test_a_split_that_is_not_hidden_must_have_its_masks(tmp_path):
    root = miniature.write_sister(tmp_path / "m", "mevis", videos=4, frames=2, height=32, width=48).root
    (root / "valid_u/mask_dict.json").unlink()
    layout = Layout.at(root, "mevis")

    with pytest.raises(MissingFilesError, match=r"lacks valid_u/mask_dict\.json\. Expected train/mask_dict\.json"):
        layout.require()
    (root / "valid_u/meta_expressions.json").unlink()
    assert layout.splits() == ["train", "valid", "test"]
    layout.require()


def test_a_split_that_is_not_hidden_must_name_its_objects(tmp_path):
    root = miniature.write_sister(tmp_path / "m", "mevis_v2", videos=3, frames=2, height=32, width=48).root
    (root / "train/meta_expressions_v2.json").write_bytes(
        (root / "valid/meta_expressions_v2_release.json").read_bytes()
    )

    with pytest.raises(AnnotationError, match="missing required field `obj_id`"):
        open_annotations(Layout.at(root, "mevis_v2"), "train")


def test_tracks_are_those_of_a_split_where_each_has_its_own(sisters):
    layout = Layout.at(sisters["mevis"].root, "mevis")

    assert layout.split("valid_u").tracks == sisters["mevis"].root / "valid_u/mask_dict.json"
    assert layout.split("train").tracks == sisters["mevis"].root / "train/mask_dict.json"
    with pytest.raises(UsageError, match="no split 'validation': MeViS has train, valid_u, valid, test"):
        layout.split("validation")


def test_an_empty_folder_of_the_same_name_in_another_split_changes_nothing(sisters, tmp_path):
    root = tmp_path / "m"
    shutil.copytree(sisters["mevis"].root, root)
    video = next(iter(open_annotations(Layout.at(root, "mevis"), "valid_u")))
    (root / "train/JPEGImages" / video.video_id).mkdir()
    annotations = open_annotations(Layout.at(root, "mevis"), "valid_u")

    assert annotations.missing_frames() == {}
    assert None not in annotations.files.frames(video)
    assert len(annotations.files.folder_frames(video.video_id)) == len(video.frame_names)
    assert count_frames(annotations.layout, "valid_u").complete_videos == len(annotations.videos)
    options = {"data_dir": str(root), "family": "mevis", "cache_dir": str(tmp_path / "cache")}
    rows = datasets.load_dataset("revos", "videos", split="valid_u", **options)
    assert None not in next(row for row in rows if row["video_id"] == video.video_id)["frames"]
    assert pictures.find_scene(annotations.layout, video.video_id).missing_frames == []


def test_what_is_missing_is_said_with_the_names_of_the_family(tmp_path):
    with pytest.raises(MissingFilesError) as error:
        Layout.at(tmp_path, "ref_sav").require()

    assert f"{tmp_path} lacks mask_dict.json, meta_expressions_valid.json." in str(error.value)
    assert "videos/<video_id>/<frame>.jpg. See https://github.com/bytedance/Sa2VA" in str(error.value)


def test_missing_frames_are_reported_where_they_were_looked_for(tmp_path):
    root = miniature.write_sister(tmp_path / "s", "ref_sav", videos=1, frames=2, height=32, width=48).root
    next((root / "videos").rglob("100004.jpg")).unlink()

    with pytest.raises(MissingFilesError, match=r"are not under .*/videos:\n  validation: 1 of 2 frames.*100004"):
        revos.Revos(data_dir=str(root), family="ref_sav", cache_dir=str(tmp_path / "c")).download_and_prepare()


def test_a_family_is_one_of_those_there_are(tmp_path, monkeypatch):
    monkeypatch.setenv("REVOS_ROOT", str(tmp_path))
    with pytest.raises(UsageError, match="no family 'davis': expected one of revos, mevis"):
        Layout.at(tmp_path, "davis")
    with pytest.raises(UsageError, match="family is 'davis'"):
        revos.Revos(data_dir=str(tmp_path), family="davis")
    with pytest.raises(UsageError, match=r"Where is MeViS.*\$MEVIS_ROOT"):
        Layout.at(None, "mevis")  # $REVOS_ROOT says where ReVOS is
    monkeypatch.setenv("MEVIS_ROOT", str(tmp_path / "mevis"))
    assert Layout.at(None, "mevis").root == tmp_path / "mevis"


def test_the_files_of_revos_are_not_downloaded_for_a_sister(tmp_path):
    with pytest.raises(UsageError, match="source gets the official files of ReVOS, not those of family='fevos'"):
        revos.Revos(data_dir=str(tmp_path), family="fevos", source=str(tmp_path))


def test_a_split_may_be_loaded_without_the_videos_that_lack_frames(tmp_path):
    root = miniature.write_sister(tmp_path / "m", "mevis", videos=6, frames=2, height=32, width=48).root
    next((root / "valid_u/JPEGImages").rglob("*.jpg")).unlink()
    options = {"data_dir": str(root), "family": "mevis", "faults": "skip"}

    builder = revos.Revos(config_name="videos", cache_dir=str(tmp_path / "c"), **options)
    with pytest.warns(UserWarning, match="has left 1 video out of .* frame-missing: valid_u"):
        builder.download_and_prepare()

    assert {split: len(rows) for split, rows in builder.as_dataset().items()} == {
        "train": 2,
        "valid_u": 1,
        "valid": 1,
        "test": 1,
    }
    frame = min((root / "train/JPEGImages").rglob("*.jpg"))
    os.utime(frame, ns=(1, 1))
    assert revos.Revos(config_name="videos", **options).config_id != builder.config_id


def test_a_sister_is_not_passed_off_as_revos(sisters):
    info = revos.Revos(data_dir=str(sisters["fevos"].root), family="fevos").info

    assert info.homepage == FAMILIES["fevos"].homepage
    assert info.description.startswith("FeVOS, in the columns of ReVOS.")
    assert not info.license
    assert not info.citation


def test_families_in_one_folder_do_not_share_a_cache(sisters):
    root = str(sisters["mevis"].root)

    configs = [revos.Revos(data_dir=root, family=family).config_id for family in ("mevis", "lv_vis")]

    assert configs[0] != configs[1]


@pytest.mark.parametrize("family", SISTERS)
def test_a_sister_is_counted(sisters, family, capsys):
    arguments = ["stats", "--data-dir", str(sisters[family].root), "--family", family]
    assert cli.main([*arguments, "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    layout = Layout.at(sisters[family].root, family)
    assert [row["split"] for row in counts if row["source"] == "all"] == layout.splits()
    for row in counts:
        written = sum(len(video.expressions) for video in open_annotations(layout, row["split"]))
        assert row["source"] == "all"  # the ids do not say where a video comes from
        assert row["expressions"] == {"untyped": written}
    assert cli.main(arguments) == 0
    assert "referring" not in capsys.readouterr().out


@pytest.mark.parametrize(("family", "split"), SHOWN + HIDDEN)
def test_a_sister_is_shown(sisters, tmp_path, family, split, capsys):
    root, video = sisters[family].root, next(iter(open_annotations(Layout.at(sisters[family].root, family), split)))
    expression = video.expressions[0]
    arguments = ["--data-dir", str(root), "--family", family]
    picture, page = tmp_path / "sheet.png", tmp_path / "page"
    shown = [video.video_id, expression.expression_id, "-o", str(picture)]
    assert cli.main(["show", *arguments, *shown]) == 0
    assert picture.is_file()
    assert cli.main(["gallery", *arguments, "--split", split, "--num-proc", "1", "-o", str(page)]) == 0
    index = (page / "data" / "index.js").read_text()
    assert f'"title":"{FAMILIES[family].title}"' in index
    assert '"type":null' in index
    assert "frames are not on disk" not in capsys.readouterr().err


@pytest.mark.parametrize("options", [{}, {"sampling": "visible"}, {"tracks": True}])
@pytest.mark.parametrize("config", ["expressions", "videos"])
def test_a_clip_of_a_hidden_split_is_refused_for_want_of_masks(load, config, options):
    row = load("mevis", config)["valid"][0]
    with pytest.raises(UsageError, match=rf"video '{row['video_id']}'.* has no masks: its split keeps them back"):
        Clips(2, **options)(row)


@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize("config", ["expressions", "videos"])
def test_clips_without_a_type_have_a_number_that_is_none_of_the_types(load, config, output):
    if output == "torch":
        pytest.importorskip("torch")
    rows = load("fevos", config)["train"].with_transform(Clips(2, size=16, output=output))
    assert (np.asarray(collate([rows[0], rows[1]])["expression_type"]) == -1).all()


def test_a_clip_of_a_video_without_any_target_has_empty_masks(load):
    row = load("mevis_v2", "videos")["train"][0]
    absent = [expression for expression in row["expressions"] if not expression["annotation_ids"]]
    clip = Clips(2)(row | {"tracks": [], "expressions": absent})
    assert clip["masks"].shape == (1, 2, 48, 80)
    assert not clip["masks"].any()


def test_masks_that_are_kept_back_belong_to_no_other_frames_either(sisters, tmp_path):
    layout = Layout.at(sisters["mevis"].root, "mevis")
    video_id = next(iter(open_annotations(layout, "valid").videos))
    write_mapping(tmp_path / "accepted.json", {video_id: Linear(1)})
    options = {"data_dir": str(layout.root), "family": "mevis", "alignment": str(tmp_path / "accepted.json")}
    with pytest.raises(UsageError, match=rf"valid keeps its masks back.*take video '{video_id}' out of the mapping"):
        revos.Revos(cache_dir=str(tmp_path / "c"), **options).download_and_prepare()
    with pytest.raises(UsageError, match="valid keeps its masks back"):
        alignment.find_misaligned(layout, ["train", "valid"])


def test_the_masks_of_a_sister_are_compared_with_the_frames_of_their_split(sisters, tmp_path):
    root = tmp_path / "m"
    miniature.write_sister(root, "mevis", videos=2, frames=6, height=32, width=48)
    layout = Layout.at(root, "mevis")
    video = next(iter(open_annotations(layout, "valid_u")))
    (root / "train/JPEGImages" / video.video_id).mkdir()
    frame = min((root / "valid_u/JPEGImages").rglob("*.jpg"))
    frame.write_bytes(b"not a picture")

    (found,) = alignment.find_misaligned(layout, ["valid_u"])

    assert found.folder_frames == 6
    assert found.note.startswith(f"cannot read {frame} ")
    assert "revoskit check" not in found.note  # it knows the files of ReVOS alone


def test_counts_of_a_hidden_split_say_that_its_masks_are_kept_back(sisters, capsys):
    arguments = ["stats", "--data-dir", str(sisters["mevis"].root), "--family", "mevis"]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "The masks of valid, test are kept back" in said
    shown = next(line for line in said.splitlines() if line.startswith("valid "))
    assert "%" not in shown
    assert cli.main([*arguments, "--split", "valid_u"]) == 0
    assert "kept back" not in capsys.readouterr().out
    assert cli.main([*arguments, "--json"]) == 0
    hidden = {row["split"]: row["hidden"] for row in json.loads(capsys.readouterr().out)}
    assert hidden == {"train": False, "valid_u": False, "valid": True, "test": True}


def test_a_picture_of_a_hidden_split_says_that_its_masks_are_kept_back(sisters, tmp_path, capsys):
    layout = Layout.at(sisters["mevis"].root, "mevis")
    shown, hidden = (next(iter(open_annotations(layout, split))).video_id for split in ("train", "valid"))
    arguments = ["show", "--data-dir", str(layout.root), "--family", "mevis", "-o", str(tmp_path / "sheet.png")]
    assert cli.main([*arguments, hidden, "0"]) == 0
    assert "valid keeps its masks back" in capsys.readouterr().err
    assert "masks kept back" in pictures.find_scene(layout, hidden, "0").caption
    assert pictures.find_scene(layout, hidden, "0").panels[0].title == "masks kept back"
    assert "0 tracks" not in pictures.find_scene(layout, hidden).caption
    assert cli.main([*arguments, shown, "0"]) == 0
    assert "back" not in capsys.readouterr().err + pictures.find_scene(layout, shown, "0").caption


def test_a_sister_is_not_checked_against_what_is_known_of_revos(sisters):
    with pytest.raises(UsageError, match="check knows the files of ReVOS, not those of FeVOS"):
        check(Layout.at(sisters["fevos"].root, "fevos"))


@pytest.mark.parametrize("family", SISTERS)
def test_a_sister_is_exported_under_its_own_name(sisters, tmp_path, family):
    layout = Layout.at(sisters[family].root, family)
    splits = [split for split, files in FAMILIES[family].splits.items() if not files.hidden]
    for to in TARGETS:
        report = export(layout, to, tmp_path / to, splits)
        assert list(report.splits) == splits
    tars = sorted(path.name for path in (tmp_path / "webdataset").glob("*.tar"))
    assert tars == sorted(f"{family}-{split}-000000.tar" for split in splits)
    for path in (tmp_path / "coco").glob("*/instances.json"):
        assert json.loads(path.read_bytes())["info"]["description"].startswith(f"{FAMILIES[family].title}, ")
    back = Layout.at(tmp_path / "mevis", "mevis")
    for split in splits:
        ours = open_annotations(layout, split)
        theirs = open_annotations(back, {"validation": "valid_u"}.get(split, split))
        assert [without_own_words(video) for video in ours] == list(theirs)
        for video in ours:
            assert theirs.masks(video).foreground() == ours.masks(video).foreground()


def without_own_words(video: Video) -> Video:
    """What MeViS's layout has no place for left out: where pictures of masks lie, and what kind an expression is."""
    expressions = tuple(msgspec.structs.replace(expression, kind="") for expression in video.expressions)
    return msgspec.structs.replace(video, pictures=(), expressions=expressions)


@pytest.mark.parametrize(
    ("family", "advice"),
    [("revos", "`revoskit check` lists all"), ("fevos", "See https://huggingface.co/datasets/FudanCVL/FeVOS")],
)
def test_a_broken_track_is_answered_with_advice_about_its_own_dataset(tmp_path, family, advice):
    root, options = tmp_path / "d", {"videos": 1, "frames": 2, "height": 32, "width": 48}
    if family == REVOS:
        miniature.write_miniature(root, **options)
    else:
        miniature.write_sister(root, family, **options)
    path = root / "mask_dict.json"
    path.write_text(json.dumps({key: masks[:1] for key, masks in json.loads(path.read_bytes()).items()}))
    annotations = open_annotations(Layout.at(root, family), "train")

    with pytest.raises(AnnotationError) as error:
        annotations.masks(next(iter(annotations))).track(3003000)
    assert advice in str(error.value)
    assert ("revoskit check" in str(error.value)) == (family == REVOS)
    path.write_text("[]")
    with pytest.raises(AnnotationError) as error:
        open_annotations(Layout.at(root, family), "train")
    assert advice in str(error.value)


def test_predictions_are_not_compared_with_masks_that_are_kept_back(sisters, tmp_path, capsys):
    (tmp_path / "predictions.json").write_text("{}")
    arguments = ["--data-dir", str(sisters["mevis"].root), "--family", "mevis", "--split", "valid"]
    predictions = ["--predictions", str(tmp_path / "predictions.json")]
    assert cli.main(["gallery", *arguments, *predictions, "-o", str(tmp_path / "page")]) == 2
    assert "valid keeps its masks back" in capsys.readouterr().err
    assert cli.main(["stats", *arguments[:-1], "validation"]) == 2
    assert "MeViS has train, valid_u, valid, test" in capsys.readouterr().err


def test_a_layout_of_one_split_travels_to_another_process(sisters):
    annotations = open_annotations(Layout.at(sisters["mevis"].root, "mevis"), "valid_u")

    assert pickle.loads(pickle.dumps(annotations)) is annotations


@pytest.mark.parametrize("leave_out", ["type_id", "obj_id", "anno_id"])
def test_revos_is_read_as_strictly_as_ever(tmp_path, leave_out):
    root = miniature.write_miniature(tmp_path / "r", videos=1, frames=2, height=32, width=48).root
    path = root / EXPRESSIONS["train"]
    document = json.loads(path.read_bytes())
    video = next(iter(document["videos"].values()))
    del video["expressions"]["0"][leave_out]
    path.write_text(json.dumps(document))

    with pytest.raises(AnnotationError, match=f"missing required field `{leave_out}`"):
        open_annotations(Layout.at(root), "train")


def test_revos_is_found_where_it_was(tmp_path):
    layout = Layout.at(tmp_path)

    assert layout == Layout(layout.root)
    files = layout.split("validation")
    assert files.tracks == layout.root / "mask_dict.json"
    assert files.foreground == layout.root / "mask_dict_foreground.json"
    assert files.expressions.name == "meta_expressions_valid_.json"
    assert files.video_folder("OVIS/train/x") == layout.root / "JPEGImages/OVIS/train/x"
    (tmp_path / "OVIS/train/x").mkdir(parents=True)
    assert files.video_folder("OVIS/train/x") == layout.root / "OVIS/train/x"
