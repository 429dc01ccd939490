"""Frames in `JPEGImages.zip`, unpacked nowhere: whatever reads frames reads these, and finds the same."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from official_files import split_archive, zip_frames

import revos
from revoskit import Clips, cli, collate, open_frame
from revoskit.archives import index
from revoskit.checking.alignment import examine
from revoskit.checking.check import check
from revoskit.dataset import frame_archive
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import FRAMES_ARCHIVE, FRAMES_FOLDER, TRACKS, Layout
from revoskit.errors import FrameError, MissingFilesError
from revoskit.export import export
from revoskit.inference.video_frames import VideoFrames
from revoskit.looking import pictures
from revoskit.looking.gallery import write_gallery
from revoskit.miniature import write_miniature
from revoskit.publishing.frames_column import Frames

VIDEO = "LV-VIS/train/01020"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Layout:
    return Layout.at(
        write_miniature(tmp_path_factory.mktemp("unpacked") / "ReVOS", videos=4, frames=8, height=48, width=64).root
    )


def without_frames(unpacked: Layout, root: Path) -> Layout:
    root.mkdir(parents=True)
    for path in unpacked.root.glob("*.json"):
        shutil.copy(path, root)
    return Layout.at(root)


@pytest.fixture(scope="module")
def packed(unpacked, tmp_path_factory) -> Layout:
    """The same copy with the frames in an archive, to be read only."""
    layout = without_frames(unpacked, tmp_path_factory.mktemp("packed") / "ReVOS")
    zip_frames(unpacked.root, layout.root / FRAMES_ARCHIVE, compression=zipfile.ZIP_STORED)
    return layout


@pytest.fixture
def here(unpacked, tmp_path) -> Layout:
    """The annotations alone, to put an archive beside."""
    return without_frames(unpacked, tmp_path / "here")


def frame_bytes(layout: Layout, split: str = "train") -> dict[str, list[bytes]]:
    annotations = open_annotations(layout, split)
    return {video.video_id: [frame.read() for frame in annotations.files.frames(video)] for video in annotations}


def pieces(archive: Path, size: int) -> None:
    content = archive.read_bytes()
    archive.unlink()
    for number, start in enumerate(range(0, len(content), size)):
        archive.with_name(f"{archive.name}.{number + 1:03d}").write_bytes(content[start : start + size])


def wrap(frames: Path, archive: Path, compression: int = zipfile.ZIP_STORED) -> None:
    inner = archive.with_name("inner.zip")
    zip_frames(frames, inner, "JPEGImages/")
    with zipfile.ZipFile(archive, "w", compression) as outer:
        outer.write(inner, f"ReVOS/{FRAMES_ARCHIVE}")
        outer.writestr(f"ReVOS/{TRACKS}", "{}")
    inner.unlink()


def tar(frames: Path, archive: Path, mode: str) -> None:
    with tarfile.open(archive, mode) as opened:
        opened.add(frames / FRAMES_FOLDER, "revos/JPEGImages")


FORMS = {
    "as released": lambda frames, root: zip_frames(frames, root / FRAMES_ARCHIVE),
    "stored, in folders": lambda frames, root: zip_frames(frames, root / FRAMES_ARCHIVE, "ReVOS/JPEGImages/", 0),
    "in folders nobody knows": lambda frames, root: zip_frames(frames, root / FRAMES_ARCHIVE, "some/where/"),
    "revos.zip": lambda frames, root: zip_frames(frames, root / "revos.zip", "ReVOS/"),
    "in pieces": lambda frames, root: (
        zip_frames(frames, root / FRAMES_ARCHIVE),
        pieces(root / FRAMES_ARCHIVE, 9000),
    ),
    "split": lambda frames, root: (zip_frames(frames, root / FRAMES_ARCHIVE), split_archive(root / FRAMES_ARCHIVE, 3)),
    "wrapped": lambda frames, root: wrap(frames, root / "revos.zip"),
    "a tar": lambda frames, root: tar(frames, root / "JPEGImages.tar", "w"),
}


@pytest.mark.parametrize("form", FORMS)
def test_frames_are_found_in_every_form_that_can_be_read_at_random(unpacked, here, form):
    FORMS[form](unpacked.root, here.root)
    assert frame_bytes(here) == frame_bytes(unpacked)
    row = load_dataset(revos.NAME, data_dir=str(here.root), split="train", cache_dir=str(here.root / "cache"))[0]
    if form not in ("in pieces", "split"):  # which plain `datasets` cannot read
        plain = load_dataset(
            "revos", data_dir=str(here.root), split="train", cache_dir=str(here.root / "cache"), decode_frames=True
        )
        assert open_frame(row["frames"][3]) == plain[0]["frames"][3].convert("RGB")
    assert not (here.root / FRAMES_FOLDER).exists()


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda frames, root: tar(frames, root / "JPEGImages.tar.gz", "w:gz"), "is compressed as a whole"),
        (lambda frames, root: wrap(frames, root / "revos.zip", zipfile.ZIP_DEFLATED), "is compressed within revos.zip"),
        (lambda frames, root: (root / FRAMES_ARCHIVE).write_bytes(b"PK broken off"), "its end is missing"),
    ],
)
def test_an_archive_that_cannot_be_read_as_it_lies_says_so_where_frames_are_missing(unpacked, here, write, reason):
    write(unpacked.root, here.root)
    with pytest.raises(MissingFilesError, match=rf"(?s){reason}.*24 of 24 frames"):
        load_dataset(revos.NAME, data_dir=str(here.root), split="train", cache_dir=str(here.root / "cache"))


def test_a_frame_on_disk_comes_before_the_one_in_the_archive(unpacked, here):
    zip_frames(unpacked.root, here.root / FRAMES_ARCHIVE)
    folder = here.root / FRAMES_FOLDER / VIDEO
    folder.mkdir(parents=True)
    (folder / "00002.jpg").write_bytes(b"on disk")
    found = frame_bytes(here)[VIDEO]
    assert found[2] == b"on disk"
    assert [content for i, content in enumerate(found) if i != 2] == [
        content for i, content in enumerate(frame_bytes(unpacked)[VIDEO]) if i != 2
    ]
    assert here.split("train").folder_frames(VIDEO) == [f"{i:05d}" for i in range(8)]


def test_no_archive_is_opened_where_all_frames_are_on_disk(unpacked, monkeypatch, tmp_path):
    root = shutil.copytree(unpacked.root, tmp_path / "both")
    (root / FRAMES_ARCHIVE).write_bytes(b"nobody looks into this")
    monkeypatch.setattr(frame_archive, "open_archive", None)
    assert frame_bytes(Layout.at(root)) == frame_bytes(unpacked)


def test_frames_that_neither_place_has_are_missing_and_the_message_names_both(unpacked, here):
    zip_frames(unpacked.root, here.root / "whole.zip")
    with zipfile.ZipFile(here.root / "whole.zip") as whole, zipfile.ZipFile(here.root / FRAMES_ARCHIVE, "w") as part:
        for name in whole.namelist():
            if not name.endswith("00005.jpg"):
                part.writestr(name, whole.read(name))
    with pytest.raises(MissingFilesError) as caught:
        load_dataset(revos.NAME, data_dir=str(here.root), cache_dir=str(here.root / "cache"))
    assert f"nor in {here.root / FRAMES_ARCHIVE}" in str(caught.value)
    assert f"3 of 24 frames, in 3 of 3 videos: {VIDEO}/00005.jpg" in str(caught.value)
    kept = load_dataset(revos.NAME, data_dir=str(here.root), cache_dir=str(here.root / "cache"), missing_frames="keep")
    assert [frame is None for frame in kept["train"][0]["frames"]] == [i == 5 for i in range(8)]


# --- loading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", ["expressions", "videos"])
@pytest.mark.parametrize("options", [{}, {"streaming": True}, {"num_proc": 2}], ids=["built", "streamed", "two"])
def test_rows_are_those_of_unpacked_frames_but_for_where_these_lie(unpacked, packed, tmp_path, config, options):
    def load(layout: Layout) -> dict[str, list[dict]]:
        found = load_dataset(revos.NAME, config, data_dir=str(layout.root), cache_dir=str(tmp_path), **options)
        return {split: list(rows) for split, rows in found.items()}

    for split, rows in load(packed).items():
        others = load(unpacked)[split]
        assert len(rows) == len(others)
        for row, other in zip(rows, others, strict=True):
            frames, files = row.pop("frames"), other.pop("frames")
            assert row == other
            assert frames == [
                {
                    "path": f"zip://{Path(file['path']).relative_to(unpacked.root / FRAMES_FOLDER).as_posix()}::"
                    f"{packed.root / FRAMES_ARCHIVE}",
                    "bytes": None,
                }
                for file in files
            ]
            assert open_frame(frames[-1]) == open_frame(files[-1])


def test_rows_are_built_anew_when_the_archive_goes_or_another_comes(unpacked, here, tmp_path):
    def path() -> str:
        loaded = load_dataset(revos.NAME, data_dir=str(here.root), split="train", cache_dir=str(tmp_path / "cache"))
        return loaded[0]["frames"][0]["path"]

    zip_frames(unpacked.root, here.root / FRAMES_ARCHIVE)
    assert path().endswith(FRAMES_ARCHIVE)
    shutil.copytree(unpacked.root / FRAMES_FOLDER, here.root / FRAMES_FOLDER)
    (here.root / FRAMES_ARCHIVE).unlink()
    assert path() == str(here.root / FRAMES_FOLDER / VIDEO / "00000.jpg")


def same(one: dict, other: dict) -> bool:
    return all(np.array_equal(np.asarray(one[name]), np.asarray(other[name])) for name in one)


def test_clips_are_the_same_from_the_archive(unpacked, packed, tmp_path):
    drawn = [
        load_dataset(revos.NAME, data_dir=str(layout.root), split="train", cache_dir=str(tmp_path)).with_transform(
            Clips(3, "random", size=24)
        )
        for layout in (unpacked, packed)
    ]
    for one, other in zip(*drawn, strict=True):
        assert same(one, other)
    stream = load_dataset(revos.NAME, data_dir=str(packed.root), split="train", cache_dir=str(tmp_path), streaming=True)
    clip = next(iter(stream.map(Clips(3, "random", size=24), remove_columns=stream.column_names)))
    assert same(clip, drawn[0][0])


@pytest.mark.parametrize("method", [m for m in multiprocessing.get_all_start_methods() if m != "forkserver"])
def test_a_data_loader_s_workers_read_the_archive(packed, tmp_path, method):
    data = pytest.importorskip("torch").utils.data
    rows = load_dataset(revos.NAME, data_dir=str(packed.root), split="train", cache_dir=str(tmp_path))
    clips = rows.with_transform(Clips(2, size=24, training=False, output="torch"))
    expected = [clips[i] for i in range(len(clips))]  # and opens the archive, so that a fork inherits it
    loader = data.DataLoader(clips, 1, num_workers=2, collate_fn=collate, multiprocessing_context=method)
    for batch, clip in zip(loader, expected, strict=True):
        assert (batch["frames"][0] == clip["frames"]).all()


@pytest.mark.parametrize("form", ["in pieces", "split"])
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods()[:2])
def test_an_archive_in_parts_is_read_by_the_workers_of_a_data_loader(unpacked, here, tmp_path, form, method):
    data = pytest.importorskip("torch").utils.data
    FORMS[form](unpacked.root, here.root)
    assert len([path for path in here.root.iterdir() if path.name.startswith("JPEGImages")]) > 2
    options = {"split": "train", "cache_dir": str(tmp_path / "cache")}
    loaded = [load_dataset(revos.NAME, data_dir=str(layout.root), **options) for layout in (unpacked, here)]
    whole, parts = (rows.with_transform(Clips(3, size=24, training=False, output="torch")) for rows in loaded)
    loader = data.DataLoader(parts, 1, num_workers=2, collate_fn=collate, multiprocessing_context=method)
    for batch, clip in zip(loader, whole, strict=True):
        assert (batch["frames"][0] == clip["frames"]).all()
    (here.root / ("JPEGImages.zip.002" if form == "in pieces" else "JPEGImages.z01")).unlink()
    with pytest.raises(FrameError, match=r"JPEGImages\.z(01|ip\.002), a part of the archive, is gone"):
        parts[0]


def test_a_member_that_is_broken_is_named_with_its_archive_and_can_be_done_without(unpacked, here, tmp_path):
    archive = here.root / FRAMES_ARCHIVE
    zip_frames(unpacked.root, archive, compression=zipfile.ZIP_STORED)
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo(f"{VIDEO}/00004.jpg")
    content[info.header_offset + 500] ^= 1
    archive.write_bytes(content)
    row = load_dataset(revos.NAME, data_dir=str(here.root), split="train", cache_dir=str(tmp_path / "cache"))[0]
    with pytest.raises(
        FrameError, match=rf"frame '00004' .*: {VIDEO}/00004\.jpg in {archive} cannot be read: it has the C"
    ):
        Clips(8)(row)
    clips = Clips(8, on_error="resample")
    with pytest.warns(UserWarning, match="drawn again without it"):
        assert clips(row)["broken_frames"] == 1


# --- everything else --------------------------------------------------------------------------------------------------


def test_check_and_verify_find_the_frames_in_the_archive(packed, unpacked, here, capsys):
    assert check(packed, decode=True, num_proc=1).findings == []
    assert cli.main(["verify", str(packed.root)]) == 1  # the frames are there, the files are not the official ones
    assert "frames of train: 24 of 24 listed are here, 24 of them in the archive; 3 of 3" in capsys.readouterr().out
    with zipfile.ZipFile(here.root / FRAMES_ARCHIVE, "w") as archive:
        for path in sorted((unpacked.root / FRAMES_FOLDER).rglob("*.jpg")):
            name, content = path.relative_to(unpacked.root / FRAMES_FOLDER).as_posix(), path.read_bytes()
            if name != f"{VIDEO}/00005.jpg":
                archive.writestr(name, content[:300] if name == f"{VIDEO}/00003.jpg" else content)
        archive.writestr(f"{VIDEO}/00099.jpg", b"more than listed")
        archive.writestr("MOSE/train/stray/00000.jpg", b"of no video")
    found = {finding.kind: finding.count for finding in check(here, num_proc=1).findings}
    assert found == {"frame-truncated": 1, "frames-unlisted": 1, "folder-unlisted": 1, "frame-missing": 1}


def test_masks_are_compared_with_frames_in_the_archive(packed, unpacked):
    found, expected = (examine(layout, "train", VIDEO) for layout in (packed, unpacked))
    assert found == expected
    assert found.folder_frames == 8


def test_a_mapping_counts_among_the_frames_in_the_archive(packed, unpacked, tmp_path):
    (tmp_path / "accepted.json").write_text(json.dumps({VIDEO: {"stride": 1, "offset": 2, "frames": 8}}))
    names = [
        open_annotations(Layout.at(layout.root, alignment=tmp_path / "accepted.json"), "train").video(VIDEO).frame_names
        for layout in (packed, unpacked)
    ]
    assert names[0] == names[1] == tuple(f"{i:05d}" for i in range(2, 8))


def test_pictures_are_the_same(packed, unpacked):
    sheets = [pictures.contact_sheet(pictures.find_scene(layout, VIDEO), frames=3) for layout in (packed, unpacked)]
    assert sheets[0] == sheets[1]


@pytest.mark.parametrize("max_side", [None, 32])
def test_the_gallery_has_copies_of_frames_that_it_cannot_link(packed, unpacked, tmp_path, max_side):
    write_gallery(packed, "train", tmp_path, max_side=max_side)
    for video_id, contents in frame_bytes(unpacked).items():
        copies = [path.read_bytes() for path in sorted((tmp_path / "frames" / video_id).iterdir())]
        assert len(copies) == len(contents)
        assert (copies == contents) == (max_side is None)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "frames").rglob("*.jpg")}
    write_gallery(packed, "train", tmp_path, max_side=max_side)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "frames").rglob("*.jpg")}


def test_publishing_copies_the_bytes(packed, unpacked):
    annotations = open_annotations(packed, "train")
    for video_id, contents in frame_bytes(unpacked).items():
        with Frames(annotations.files) as frames:
            video = annotations.video(video_id)
            (row,) = frames.column(video, (video.height, video.width)).to_pylist()
        assert [frame["bytes"] for frame in row] == contents
        assert [frame["path"] for frame in row] == [f"{name}.jpg" for name in video.frame_names]


@pytest.mark.parametrize("to", ["mevis", "webdataset"])
def test_exports_hold_the_same_frames(packed, unpacked, tmp_path, to):
    for name, layout in (("packed", packed), ("unpacked", unpacked)):
        report = export(layout, to, tmp_path / name, ["train"])
        assert report.splits["train"].copied == (24 if name == "packed" or to == "webdataset" else 0)
    for path in (tmp_path / "unpacked").rglob("*"):
        if path.is_file() and path.suffix in (".jpg", ".tar"):
            other = tmp_path / "packed" / path.relative_to(tmp_path / "unpacked")
            assert other.read_bytes() == path.read_bytes()
    again = export(packed, to, tmp_path / "packed", ["train"])
    assert (again.splits["train"].kept, again.splits["train"].copied) == (24, 0)


def test_a_model_gets_the_same_images_and_files(packed, unpacked):
    arrays, contents = [], []
    for layout in (packed, unpacked):
        annotations = open_annotations(layout, "train")
        frames = VideoFrames(annotations, annotations.video(VIDEO))
        arrays.append(frames.array(size=24))
        contents.append([Path(path).read_bytes() for path in frames.paths()])
    assert (arrays[0] == arrays[1]).all()
    assert contents[0] == contents[1]


def test_the_index_of_the_archive_is_made_once_for_all_of_it(unpacked, here, tmp_path, monkeypatch):
    zip_frames(unpacked.root, here.root / FRAMES_ARCHIVE)
    made = []
    read = index.read_directory
    monkeypatch.setattr(index, "read_directory", lambda source: made.append(source.name) or read(source))
    for config in ("expressions", "videos"):
        load_dataset(revos.NAME, config, data_dir=str(here.root), cache_dir=str(tmp_path / "cache"))
    check(here, num_proc=1)
    assert made == [FRAMES_ARCHIVE]
