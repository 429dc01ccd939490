"""Everything that is planted in a copy is found, in one pass, under its own kind; and a sound copy has no findings."""

import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from revoskit.checking.check import check, describe
from revoskit.cli import main
from revoskit.dataset.annotations import open_splits
from revoskit.dataset.layout import EXPRESSIONS, FOREGROUND, FRAMES_FOLDER, TRACKS, Layout
from revoskit.errors import MissingFilesError
from revoskit.miniature import write_miniature

TRAIN, VALID = EXPRESSIONS["train"], EXPRESSIONS["validation"]
VIDEO = "LV-VIS/train/01020"  # the first of train, and all of train_sub; tracks 3003000 to 3003002


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "ReVOS"
    write_miniature(root, videos=4, frames=5, height=48, width=64)
    return root


@pytest.fixture
def copy(made, tmp_path):
    return Copy(shutil.copytree(made, tmp_path / "ReVOS"))


class Copy:
    """A copy to spoil."""

    def __init__(self, root):
        self.root = root

    def edit(self, name, change):
        document = json.loads((self.root / name).read_text(encoding="utf-8"))
        change(document)
        (self.root / name).write_text(json.dumps(document), encoding="utf-8")

    def video(self, change, name=TRAIN, video=VIDEO):
        self.edit(name, lambda document: change(document["videos"][video]))

    def frame(self, number=2, video=VIDEO):
        return self.root / FRAMES_FOLDER / video / f"{number:05d}.jpg"

    def check(self, **options):
        return check(Layout.at(self.root), num_proc=1, **options)

    def kinds(self, **options):
        return {finding.kind: finding.count for finding in self.check(**options).findings}


def test_a_sound_copy_has_no_findings(copy):
    report = copy.check()
    assert report.findings == []
    assert (report.videos, report.frames, report.exit_status) == (4, 20, 0)
    assert report.masks == 4 * 3 * 5 + 4 * 5
    assert "nothing is wrong" in describe(report)


def swap(frames):
    frames[1], frames[2] = frames[2], frames[1]


def first(entry):
    return entry["expressions"]["0"]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("entry-malformed", lambda v: v.update(height="tall")),
        ("entry-malformed", lambda v: first(v).update(type_id=7)),
        ("frames-unsorted", lambda v: swap(v["frames"])),
        ("frames-duplicate", lambda v: v["frames"].__setitem__(1, v["frames"][0])),
        ("video-without-expressions", lambda v: v["expressions"].clear()),
        ("expression-blank", lambda v: first(v).update(exp="  ")),
        ("objects-uneven", lambda v: first(v).update(obj_id=[0, 1])),
        ("track-repeated", lambda v: first(v).update(obj_id=[0, 0], anno_id=[3003000, 3003000])),
        ("expression-without-tracks", lambda v: first(v).update(obj_id=[], anno_id=[])),
        ("nonexistent-with-tracks", lambda v: v["expressions"]["6"].update(obj_id=[0], anno_id=[3003000])),
        ("object-differs", lambda v: first(v).update(obj_id=[9])),
        ("track-missing", lambda v: first(v).update(anno_id=[77])),
        ("track-shared", lambda v: first(v).update(anno_id=[3003030])),
        ("subset-differs", lambda v: v.update(height=47)),
        ("track-length", lambda v: v["frames"].append("99999")),
        ("track-long", lambda v: v["frames"].pop()),
        ("frames-unlisted", lambda v: v["frames"].pop()),
        ("mask-size", lambda v: v.update(height=47)),
        ("frame-size", lambda v: v.update(height=47)),
        ("frame-missing", lambda v: v["frames"].__setitem__(4, "00044")),
    ],
)
def test_what_is_wrong_with_a_record_is_found(copy, kind, change):
    copy.video(change)
    assert copy.kinds()[kind] >= 1


def test_every_faulty_entry_is_reported_not_only_the_first(copy):
    copy.video(lambda v: [v["expressions"][key].update(type_id=7) for key in "012"])
    copy.video(lambda v: v.update(width=-1), video="UVO/all/-CiPki3XuVI")
    finding = next(f for f in copy.check().findings if f.kind == "entry-malformed")
    assert finding.count == 4
    assert "expression '2'" in str(finding.examples)
    assert "-CiPki3XuVI" in str(finding.examples)


def test_a_video_in_both_splits_is_found(copy):
    train = json.loads((copy.root / TRAIN).read_text(encoding="utf-8"))
    copy.edit(VALID, lambda d: d["videos"].update({VIDEO: train["videos"][VIDEO]}))
    assert copy.kinds() == {"video-twice": 1}


@pytest.mark.parametrize(
    ("kind", "value", "count"),
    [
        ("mask-runs", {"size": [48, 64], "counts": "1"}, 2),
        ("mask-runs", {"size": [48, 64], "counts": ""}, 2),
        ("mask-runs", {"size": [48, 64], "counts": "ÿ"}, 2),
        ("mask-size", {"size": [64, 48], "counts": "PP3"}, 2),
        ("track-malformed", {"size": [48, 64], "counts": [1, 2]}, 1),
        ("track-malformed", 5, 1),
        ("mask-blank", {"size": [48, 64], "counts": "PP3"}, 2),
    ],
)
def test_faulty_masks_are_all_found(copy, kind, value, count):
    def spoil(tracks):
        tracks["3003000"][1] = tracks["3003000"][3] = value

    copy.edit(TRACKS, spoil)
    assert copy.kinds()[kind] == count


def test_tracks_nobody_names_are_found_and_examined_too(copy):
    def add(tracks):
        tracks["99"] = tracks["3003000"]
        tracks["98"] = [{"size": [48, 64], "counts": "1"}, None, {"size": [4, 6], "counts": "h0"}]
        tracks["3003001"] = [None] * 5

    copy.edit(TRACKS, add)
    found = copy.kinds()
    assert found["track-unnamed"] == 2
    assert (found["mask-runs"], found["mask-size"], found["track-empty"]) == (1, 1, 1)
    assert "track-unnamed" not in copy.kinds(splits=["train"])  # the others could name it
    (copy.root / VALID).unlink()
    assert "track-unnamed" not in copy.kinds()


def test_a_foreground_that_is_not_the_union_is_found(copy):
    def spoil(foreground):
        entry = foreground[VIDEO]
        entry["masks_rle"][1] = entry["masks_rle"][4]
        entry["masks_rle"][2] = {"size": [48, 64], "counts": "PP3"}
        entry["foreground_ratio"][2] = 0.0
        foreground["OVIS/train/00e92ab4"]["masks_rle"][0] = None
        foreground["UVO/all/-CiPki3XuVI"]["masks_rle"].pop()
        foreground["MOSE/train/nobody"] = foreground.pop("MOSE/train/a1b2c3d4")

    copy.edit(FOREGROUND, spoil)
    found = copy.kinds()
    assert found.pop("foreground-ratio") >= 1
    assert found == {
        "foreground-differs": 3,
        "foreground-null": 1,
        "foreground-length": 1,
        "foreground-absent": 1,
        "foreground-extra": 1,
    }


def test_the_same_foreground_written_with_other_runs_is_the_same(copy):
    """An empty run more changes the string and no pixel."""
    from revoskit.masks.rle import MaskSequence

    blank = MaskSequence.empty(1, 48, 64)[0]["counts"]

    def blank_out(tracks):
        for key in ("3003000", "3003001", "3003002"):
            tracks[key] = [{"size": [48, 64], "counts": blank}] * 5

    def two_ways(foreground):
        foreground[VIDEO]["masks_rle"] = [{"size": [48, 64], "counts": blank + "00"}] * 5
        foreground[VIDEO]["foreground_ratio"] = [0.0] * 5

    copy.edit(TRACKS, blank_out)
    copy.edit(FOREGROUND, two_ways)
    assert copy.kinds() == {"mask-blank": 15}


# --- frames -----------------------------------------------------------------------------------------------------------


def spoil_frame(path, how):
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_bytes(b"not a picture at all")
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "zeros at the end":
        path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    elif how == "png":
        buffer = io.BytesIO()
        Image.open(io.BytesIO(content)).save(buffer, "PNG")
        path.write_bytes(buffer.getvalue())
    elif how == "other size":
        Image.new("RGB", (64, 47)).save(path)
    elif how == "half the size":
        Image.new("RGB", (32, 24)).save(path)
    elif how == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.open(io.BytesIO(content)).save(path, exif=exif)
    elif how == "more":
        shutil.copy(path, path.with_name("99999.jpg"))
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    elif how == "stray":
        (path.parent.parent / "stray").mkdir()
        shutil.copy(path, path.parent.parent / "stray")


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("missing", "frame-missing"),
        ("empty", "frame-unreadable"),
        ("text", "frame-unreadable"),
        ("png", "frame-unreadable"),
        ("a folder", "frame-unreadable"),
        ("truncated", "frame-truncated"),
        ("zeros at the end", "frame-truncated"),
        ("other size", "frame-size"),
        ("half the size", "frame-scaled"),
        ("turned", "frame-turned"),
        ("more", "frames-unlisted"),
        ("stray", "folder-unlisted"),
    ],
)
def test_what_is_wrong_with_a_frame_is_found(copy, how, kind):
    spoil_frame(copy.frame(), how)
    assert copy.kinds() == {kind: 1}


def test_decoding_finds_what_the_ends_of_a_jpeg_do_not_show(copy):
    pytest.importorskip("simplejpeg")
    content = copy.frame().read_bytes()
    copy.frame().write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    assert copy.kinds() == {}
    assert copy.kinds(decode=True) == {"frame-damaged": 1}


def test_decoding_by_pillow_alone_finds_no_fault_in_sound_frames(copy, monkeypatch):
    monkeypatch.setattr("revoskit.frames.simplejpeg", None)
    assert copy.kinds(decode=True) == {}


def test_bytes_behind_the_end_of_a_jpeg_are_fine(copy):
    with copy.frame().open("ab") as file:
        file.write(b"\0" * 100)
    assert copy.kinds(decode=True) == {}


# --- files as a whole -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        (TRACKS, None, "file-missing"),
        (FOREGROUND, None, "file-absent"),
        (EXPRESSIONS["train_sub"], None, "file-absent"),
        (TRACKS, b'{"3003000": [', "file-unreadable"),
        (TRACKS, b"[]", "file-unreadable"),
        (FOREGROUND, b"", "file-unreadable"),
        (TRAIN, b"\xff", "file-unreadable"),
        (TRAIN, b"[]", "file-unreadable"),
    ],
)
def test_a_file_that_is_missing_or_broken_does_not_hide_the_rest(copy, name, content, kind):
    (copy.root / name).unlink() if content is None else (copy.root / name).write_bytes(content)
    spoil_frame(copy.frame(video="OVIS/train/00e92ab4"), "truncated")
    found = copy.kinds()
    assert found[kind] == 1
    assert found["frame-truncated"] == 1


def test_frames_may_lie_in_the_root_itself(copy):
    for path in list((copy.root / FRAMES_FOLDER).iterdir()):
        path.rename(copy.root / path.name)
    (copy.root / FRAMES_FOLDER).rmdir()
    assert copy.kinds() == {}
    (copy.root / VIDEO / "00002.jpg").unlink()
    assert copy.kinds() == {"frame-missing": 1}


def test_a_folder_that_is_not_there_or_a_split_that_is_not_is_an_error(copy, tmp_path):
    with pytest.raises(MissingFilesError, match="is not a folder"):
        check(Layout.at(tmp_path / "nowhere"))
    (copy.root / VALID).unlink()
    with pytest.raises(MissingFilesError, match="meta_expressions_valid_"):
        copy.check(splits=["validation"])


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_findings_are_grouped_counted_and_shown_with_a_few_examples(copy):
    for folder in (copy.root / FRAMES_FOLDER / "UVO" / "all").iterdir():
        for path in folder.iterdir():
            path.unlink()
    for number in range(4):
        copy.frame(number).write_bytes(b"")
    report = copy.check()
    assert {(f.kind, f.count, f.videos) for f in report.findings} == {
        ("frame-missing", 5, 1),
        ("frame-unreadable", 4, 1),
    }
    for number in range(4):
        spoil_frame(copy.frame(number, "MOSE/train/a1b2c3d4"), "truncated")
        copy.frame(number, "OVIS/train/00e92ab4").write_bytes(b"")
    shown = describe(copy.check())
    assert "(8 in 2 videos)" in shown
    assert shown.count("is not a sound JPEG: it is empty") == 5
    assert "train · LV-VIS/train/01020 · frame 00000" in shown


def test_the_result_is_the_same_whatever_the_number_of_processes(copy):
    copy.edit(TRACKS, lambda tracks: tracks.update({str(i): [None] * 5 for i in range(450)}))
    for number in range(5):
        copy.frame(number).write_bytes(b"")
        copy.frame(number, "MOSE/train/a1b2c3d4").write_bytes(b"")
    alone, together = copy.check(), check(Layout.at(copy.root), num_proc=2)
    assert alone == together


def test_the_exit_status_says_the_worst(copy, capsys):
    assert main(["check", str(copy.root)]) == 0
    (copy.root / FOREGROUND).unlink()
    assert main(["check", str(copy.root)]) == 0  # a note
    copy.video(lambda v: first(v).update(exp=""))
    assert main(["check", str(copy.root)]) == 3
    os.unlink(copy.frame())
    capsys.readouterr()
    assert main(["check", str(copy.root), "--json", "--split", "train"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [finding["severity"] for finding in report["findings"]] == ["error", "warning", "note"]
    assert main(["check", str(copy.root / "nowhere")]) == 2


def test_json_holds_every_finding_with_its_file_and_the_table_a_few(own_miniature, edit_json, capsys):
    def blank(content):
        for video in content["videos"].values():
            for entry in video["expressions"].values():
                entry["exp"] = " "

    root = own_miniature.root
    edit_json(root / EXPRESSIONS["train"], blank)
    edit_json(root / TRACKS, lambda d: [masks.pop() for masks in d.values()])
    main(["check", str(root), "--json"])
    found = {finding["kind"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert len(found["expression-blank"]["examples"]) == found["expression-blank"]["count"] > 5
    assert len(found["track-length"]["examples"]) == found["track-length"]["count"] > 5
    assert {example["file"] for example in found["track-length"]["examples"]} == {str(root / TRACKS)}
    main(["check", str(root)])
    assert capsys.readouterr().out.count(": 3 entries, 4 frames") == 5


# --- what is said besides the findings --------------------------------------------------------------------------------


def everything_wrong(root, edit_json):
    """One of each: a track, an expression, a video, a frame."""
    videos = list(json.loads((root / TRAIN).read_text())["videos"].values())
    track = next(e["anno_id"][0] for e in videos[0]["expressions"].values() if e["anno_id"])
    edit_json(root / TRACKS, lambda d: d[str(track)].pop())
    edit_json(root / TRAIN, lambda d: list(d["videos"].values())[1]["expressions"]["0"].update(exp=None))
    valid = next(iter(json.loads((root / EXPRESSIONS["validation"]).read_text())["videos"]))
    (root / FRAMES_FOLDER / valid / "00001.jpg").unlink()


def test_every_finding_says_its_file_and_what_skipping_leaves_out_is_what_it_leaves_out(
    own_miniature, edit_json, capsys
):
    root = own_miniature.root
    everything_wrong(root, edit_json)
    assert main(["check", str(root), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    examples = [example for finding in report["findings"] for example in finding["examples"]]
    assert all(Path(example["file"]).is_relative_to(root) for example in examples)
    splits = open_splits(Layout.at(root, faults="skip"), silent=True).values()
    left_out = [split.with_sound_frames().left_out for split in splits]
    expected = {name: sum(getattr(one, name) for one in left_out) for name in ("expressions", "tracks", "videos")}
    assert report["left_out"] == expected
    assert all(expected.values())
    main(["check", str(root), "--split", "validation"])
    assert "faults='skip' (--faults skip) would leave out 1 video\n" in capsys.readouterr().out
    (root / TRACKS).write_text("{")
    main(["check", str(root)])
    assert "with faults='skip' neither" in capsys.readouterr().out


def test_every_null_and_blank_mask_and_wrong_ratio_is_a_finding_with_its_frame(copy):
    def spoil(content):
        entry = content[VIDEO]
        entry["masks_rle"][1] = entry["masks_rle"][3] = None
        entry["foreground_ratio"][2] = entry["foreground_ratio"][4] = 0.999

    copy.edit(FOREGROUND, spoil)
    found = {finding.kind: finding for finding in copy.check().findings}
    assert [one.frame for one in found["foreground-null"].examples] == ["00001", "00003"]
    assert {"00002", "00004"} <= {one.frame for one in found["foreground-ratio"].examples}
    assert all(one.file == str(copy.root / FOREGROUND) for one in found["foreground-ratio"].examples)


@pytest.mark.parametrize("unpacked", [True, False])
def test_the_archive_that_lies_there_is_mentioned_unpacked_or_not(copy, unpacked):
    with zipfile.ZipFile(copy.root / "JPEGImages.zip", "w") as archive:
        for path in sorted((copy.root / FRAMES_FOLDER).rglob("*.jpg")):
            archive.write(path, path.relative_to(copy.root / FRAMES_FOLDER))
    if not unpacked:
        shutil.rmtree(copy.root / FRAMES_FOLDER)
    report = copy.check()
    assert report.findings == []
    assert report.archive.frames_read_from_it == (0 if unpacked else 20)
    said = "no listed frame is read from it" if unpacked else "20 frames are not unpacked and read from"
    assert said in describe(report)
    assert "JPEGImages.zip" in describe(report)


def test_an_archive_that_cannot_be_read_is_mentioned_with_the_reason(copy):
    (copy.root / "JPEGImages.zip").write_bytes(b"PK\3\4 and nothing more")
    assert "JPEGImages.zip cannot be read where it lies: " in describe(copy.check())


MAPPINGS = {
    "of too few masks": (b'{"%s": ["00000"]}', "alignment-misfit", 1),
    "of another folder": (b'{"%s": {"stride": 1, "frames": 77}}', "alignment-misfit", 1),
    "to a frame that is not there": (b'{"%s": ["00009", "00001", "00002", "00003", null]}', "frame-missing", 1),
    "of no video": (b'{"x/y": {"stride": 1}}', "alignment-unknown", 3),
    "no JSON": (b"{", "file-unreadable", 1),
}


@pytest.mark.parametrize("case", MAPPINGS)
def test_the_file_of_an_alignment_is_checked(copy, tmp_path, capsys, case):
    content, kind, status = MAPPINGS[case]
    path = tmp_path / "accepted.json"
    path.write_bytes(content.replace(b"%s", VIDEO.encode()))
    assert main(["check", str(copy.root), "--alignment-file", str(path), "--json"]) == status
    (found, *others) = json.loads(capsys.readouterr().out)["findings"]
    assert found["kind"] == kind
    assert {example["file"] for example in found["examples"]} == {str(path)}
    assert not others


def test_a_sound_alignment_is_no_finding(copy, tmp_path):
    path = tmp_path / "accepted.json"
    path.write_text(json.dumps({VIDEO: {"stride": 1}}))
    assert check(Layout.at(copy.root, alignment=path), num_proc=1).findings == []
    assert main(["check", str(copy.root), "--alignment-file", str(tmp_path / "nowhere.json")]) == 1
