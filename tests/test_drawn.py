"""Datasets whose masks are PNGs: what is read from them, and what is refused."""

import json
import os
import pickle
import shutil
import struct

import datasets
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

import revos
from revoskit import Clips, cli
from revoskit.dataset.annotations import forget_annotations, open_annotations
from revoskit.dataset.layout import Layout
from revoskit.errors import AnnotationError, MaskError, MissingFilesError
from revoskit.kinds import Kind
from revoskit.miniature import write_sister

DRAWN = {
    "reason_vos": "validation",
    "long_rvos": "valid",
    "groundmore": "test",
    "ref_youtube_vos": "train",
    "ref_davis17": "valid",
}
SMALL = {"frames": 4, "height": 32, "width": 48}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    return {family: write_sister(folder / family, family, **SMALL) for family in DRAWN}


@pytest.fixture
def copied(written, tmp_path):
    """A copy of a family's miniature that may be spoilt."""

    def copy(family):
        return shutil.copytree(written[family].root, tmp_path / family)

    return copy


def rewrite(path, change):
    document = json.loads(path.read_bytes())
    change(document["videos"])
    path.write_text(json.dumps(document))


def first(root, family):
    annotations = open_annotations(Layout.at(root, family), DRAWN[family])
    video = next(iter(annotations))
    return annotations, video


# --- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", DRAWN)
def test_rows_stream_as_they_load(written, tmp_path, family):
    options = {"data_dir": str(written[family].root), "family": family, "cache_dir": str(tmp_path)}
    for config in ("expressions", "videos"):
        builder = revos.Revos(config_name=config, **options)
        builder.download_and_prepare()
        rows = list(builder.as_dataset(DRAWN[family]))
        assert rows == list(builder.as_streaming_dataset(DRAWN[family]))


@pytest.mark.parametrize("family", DRAWN)
def test_clips_carry_the_drawn_masks(written, tmp_path, family):
    builder = revos.Revos(data_dir=str(written[family].root), family=family, cache_dir=str(tmp_path))
    builder.download_and_prepare()
    row = builder.as_dataset(DRAWN[family])[0]
    clip = Clips(4)(row)
    want = sum(written[family].pixels[i] for i in row["annotation_ids"]) > 0
    np.testing.assert_array_equal(clip["masks"], want)


def test_a_frame_without_a_png_has_no_mask_and_one_that_lacks_the_object_an_empty_one(copied):
    root = copied("ref_davis17")
    annotations, video = first(root, "ref_davis17")
    name = video.frame_names[1]
    (root / "valid/Annotations" / video.video_id / f"{video.frame_names[0]}.png").unlink()
    Image.new("P", (video.width, video.height)).save(root / "valid/Annotations" / video.video_id / f"{name}.png")
    track = annotations.masks(video).track(video.annotation_ids[0])
    assert track[0] is None
    assert not coco.decode(track[1]).any()
    assert coco.decode(track[2]).any()


def test_the_value_of_a_pixel_is_the_number_of_its_object_whatever_its_colour(copied):
    root = copied("ref_youtube_vos")
    annotations, video = first(root, "ref_youtube_vos")
    before = annotations.masks(video).track(video.annotation_ids[0])
    for file in (root / "train/Annotations" / video.video_id).iterdir():
        values = np.asarray(Image.open(file))
        Image.fromarray(values).save(file)  # grey, and no palette
    assert annotations.masks(video).track(video.annotation_ids[0]) == before


def test_a_picture_of_one_object_may_be_in_colours(copied):
    root = copied("reason_vos")
    annotations, video = first(root, "reason_vos")
    before = annotations.masks(video).track(video.annotation_ids[0])
    for file in (root / "Annotations" / f"MOSE_{video.video_id}_1").iterdir():
        Image.open(file).convert("RGB").save(file)
    assert annotations.masks(video).track(video.annotation_ids[0]) == before


def test_ref_davis17_is_found_where_davis_has_it(copied):
    root = copied("ref_davis17")
    annotations, video = first(root, "ref_davis17")
    before = annotations.masks(video).foreground()
    for name, there in [("Annotations", "Annotations_unsupervised/480p"), ("JPEGImages", "JPEGImages/480p")]:
        for split in ("train", "valid"):
            for folder in (root / split / name).iterdir():
                (root / "DAVIS" / there).mkdir(parents=True, exist_ok=True)
                folder.rename(root / "DAVIS" / there / folder.name)
            (root / split / name).rmdir()
    annotations, video = first(root, "ref_davis17")
    assert annotations.missing_frames() == {}
    assert annotations.masks(video).foreground() == before


def test_the_valid_of_ref_youtube_vos_has_not_the_videos_of_its_test(copied):
    root = copied("ref_youtube_vos")
    layout = Layout.at(root, "ref_youtube_vos")
    assert "ff0test" not in open_annotations(layout, "valid").videos
    (root / "meta_expressions/test/meta_expressions.json").unlink()
    assert "ff0test" in open_annotations(layout, "valid").unsized


def test_expressions_of_reason_vos_go_by_their_exp_id_and_by_their_place_where_two_have_one(copied):
    root = copied("reason_vos")

    def change(videos):
        one, two = list(videos.values())[:2]
        for said in one["expressions"]:
            said["exp_id"] += 7
        for said in two["expressions"]:
            said["exp_id"] = 0

    rewrite(root / "meta_expressions.json", change)
    annotations = open_annotations(Layout.at(root, "reason_vos"), "validation")
    ids = [[e.expression_id for e in video.expressions] for video in annotations]
    assert ids[0] == ["7", "8", "9", "10", "11"]
    assert ids[1] == ["0", "1", "2", "3"]


def test_a_question_means_its_objects_while_the_action_goes_on(tmp_path):
    written = write_sister(tmp_path / "g", "groundmore", videos=2, frames=14, height=32, width=48)
    annotations, video = first(written.root, "groundmore")
    said = json.loads((written.root / "test_v2.json").read_bytes())["videos"][video.video_id]["questions"]
    assert [said[key]["action_start"] for key in ("1", "2")] == ["0:10", "0:11"]
    masks = annotations.masks(video)
    early = masks.of(video.expressions[1]).areas()
    late = masks.of(video.expressions[2]).areas()
    assert early[:6].all()
    assert not early[6:].any()
    assert not late[:6].any()
    assert late[6:].all()
    assert video.expressions[2].object_ids == (1, 2, 3)  # "1, 2, 3"


@pytest.mark.parametrize("family", DRAWN)
def test_a_pickle_beside_the_pictures_is_never_opened(copied, tmp_path, family):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    root = copied(family)
    for folder in (root, root / "valid", root / "train"):
        folder.mkdir(exist_ok=True)
        (folder / "mask_dict.pkl").write_bytes(pickle.dumps(Trap()))
    annotations, video = first(root, family)
    annotations.masks(video).foreground()
    assert not (tmp_path / "sprung").exists()


def test_the_cache_is_named_after_the_pictures(copied, tmp_path):
    root = copied("long_rvos")
    options = {"data_dir": str(root), "family": "long_rvos", "cache_dir": str(tmp_path / "c")}
    before = revos.Revos(**options).config_id
    assert revos.Revos(**options).config_id == before
    next((root / "train/Annotations").rglob("*.png")).unlink()
    assert revos.Revos(**options).config_id != before


@pytest.mark.parametrize("family", DRAWN)
def test_the_commands_take_such_a_family(written, tmp_path, family, capsys):
    arguments = ["--data-dir", str(written[family].root), "--family", family]
    assert cli.main(["stats", *arguments]) == 0
    _, video = first(written[family].root, family)
    sheet = tmp_path / "sheet.png"
    assert cli.main(["show", *arguments, video.video_id, video.expressions[0].expression_id, "-o", str(sheet)]) == 0
    assert cli.main(["check", str(written[family].root)]) != 0
    assert "Traceback" not in capsys.readouterr().err


def test_load_dataset_takes_such_a_family(written, tmp_path):
    options = {"data_dir": str(written["long_rvos"].root), "family": "long_rvos", "cache_dir": str(tmp_path)}
    assert datasets.load_dataset("revos", split="valid", **options)[0]["expression"].startswith("the ")


# --- what is refused --------------------------------------------------------------------------------------------------


def spoil(content):
    def write(file):
        file.unlink()
        file.write_bytes(content(file) if callable(content) else content)

    return write


def picture(mode, size):
    def write(file):
        Image.new(mode, size).save(file)

    return write


def a_pipe(file):
    file.unlink()
    os.mkfifo(file)


HUGE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 0, 0, 0, 0) + b"\0" * 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (picture("P", (9, 7)), "is 7x9 pixels .*, and the video 32x48|is 7x9 pixels .*, and the video 48x32"),
        (picture("RGB", (48, 32)), "its pixels are RGB, expected 8 bits"),
        (picture("I;16", (48, 32)), "its pixels are I"),
        (spoil(b""), "it is no PNG"),
        (spoil(b"\x89PNG\r\n\x1a\n"), "it is no PNG"),
        (spoil(HUGE), "is 2147483647x2147483647 pixels"),
        pytest.param(a_pipe, "not a file", marks=pytest.mark.skipif(os.name == "nt", reason="no FIFOs")),
    ],
)
def test_a_picture_that_is_no_mask_of_the_video_is_refused(copied, change, says):
    root = copied("ref_davis17")
    annotations, video = first(root, "ref_davis17")
    video = next(v for v in annotations if (v.height, v.width) == (32, 48))
    file = root / "valid/Annotations" / video.video_id / f"{video.frame_names[2]}.png"
    change(file)
    with pytest.raises(AnnotationError, match=says) as error:
        annotations.masks(video).track(video.annotation_ids[0])
    assert error.value.frame == video.frame_names[2]
    assert error.value.file == str(file)
    assert isinstance(error.value, MaskError) == ("is 7x9" in says or "2147483647" in says)
    with pytest.warns(UserWarning, match="has left 4 expressions"):
        sound = open_annotations(Layout.at(root, "ref_davis17", faults="skip"), "valid")
    assert not sound.video(video.video_id).expressions


def test_a_picture_that_breaks_off_is_refused(copied):
    root = copied("reason_vos")
    annotations, video = first(root, "reason_vos")
    file = root / "Annotations" / f"MOSE_{video.video_id}_1" / f"{video.frame_names[0]}.png"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(AnnotationError, match="cannot be read as a mask"):
        annotations.masks(video).track(video.annotation_ids[0])


def test_a_track_without_any_picture_is_missing(copied):
    root = copied("reason_vos")
    annotations, video = first(root, "reason_vos")
    shutil.rmtree(root / "Annotations" / f"MOSE_{video.video_id}_1")
    with pytest.raises(AnnotationError, match="is there for none of the 4 frames") as error:
        annotations.masks(video).track(video.annotation_ids[0])
    assert error.value.kind is Kind.TRACK_MISSING
    assert "See https://github.com/showlab/VideoLISA" in str(error.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"obj_id": "one"}, "obj_id is 'one', expected the number of an object"),
        ({"obj_id": -1}, "obj_id is -1"),
        ({"obj_id": None}, "obj_id is None"),
        ({"obj_id": [1, "../../x"]}, "obj_id is"),
        ({"exp_text": 3}, "Expected `str`"),
    ],
)
def test_an_expression_that_names_no_object_is_refused(copied, change, says):
    root = copied("reason_vos")
    rewrite(root / "meta_expressions.json", lambda videos: next(iter(videos.values()))["expressions"][0].update(change))
    with pytest.raises(AnnotationError, match=says):
        first(root, "reason_vos")
    with pytest.warns(UserWarning, match="has left 1 expression out"):
        open_annotations(Layout.at(root, "reason_vos", faults="skip"), "validation")


@pytest.mark.parametrize("said", [3, None, ["static"]])
def test_a_kind_that_is_no_word_is_refused(copied, said):
    root = copied("long_rvos")
    file = root / "valid/meta_expressions.json"
    rewrite(file, lambda videos: next(iter(videos.values()))["expressions"]["0"].update(type=said))
    with pytest.raises(AnnotationError, match=r"its kind is .*, expected a word"):
        first(root, "long_rvos")


def test_a_source_that_leads_elsewhere_is_refused(copied):
    root = copied("reason_vos")
    rewrite(root / "meta_expressions.json", lambda videos: next(iter(videos.values())).update(source="../../x"))
    with pytest.raises(AnnotationError, match="could lead out of the dataset's folder"):
        first(root, "reason_vos")


@pytest.mark.parametrize("said", ["soon", "1:2:3:4", "", 12, None])
def test_a_time_that_is_none_is_refused(copied, said):
    root = copied("groundmore")
    rewrite(root / "test_v2.json", lambda videos: next(iter(videos.values()))["questions"]["0"].update(action_end=said))
    with pytest.raises(AnnotationError, match=r"action_end is .*, expected a time such as 0:12"):
        first(root, "groundmore")


def test_a_clip_whose_id_does_not_tell_its_times_is_refused(copied):
    root = copied("groundmore")

    def rename(videos):
        name = next(iter(videos))
        videos["untimed"] = videos.pop(name)
        (root / "annotations" / name).rename(root / "annotations/untimed")

    rewrite(root / "test_v2.json", rename)
    with pytest.raises(AnnotationError, match="expected a video id that ends in the times of the clip"):
        open_annotations(Layout.at(root, "groundmore"), "test")


def test_a_video_whose_frames_are_neither_listed_nor_there_is_refused(copied):
    root = copied("groundmore")
    _, video = first(root, "groundmore")
    shutil.rmtree(root / "annotations" / video.video_id / "images")
    forget_annotations()
    with pytest.raises(AnnotationError, match=r"does not list the frames of video .*: expected <frame>\.jpg"):
        open_annotations(Layout.at(root, "groundmore"), "test")


@pytest.mark.parametrize(("family", "folder"), [("long_rvos", "valid/Annotations"), ("groundmore", "annotations")])
def test_pictures_that_are_not_there_are_missed(copied, family, folder):
    root = copied(family)
    shutil.rmtree(root / folder)
    with pytest.raises(MissingFilesError, match=f"lacks {folder}"):
        Layout.at(root, family).require()
