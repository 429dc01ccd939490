"""Publishing: what comes back through plain `datasets`, how a killed run goes on, and what reaches the Hub."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import html
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Features, load_dataset
from datasets.packaged_modules.parquet import parquet as parquet_reader
from PIL import Image
from pycocotools import mask as coco
from standin_hub import TOKEN, Repository, StandInHub

import revos
from revoskit.cli import main
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.errors import AnnotationError, FrameError, MissingFilesError, RevosError, UsageError
from revoskit.frames import open_frame
from revoskit.miniature import LONG, write_miniature
from revoskit.publishing import frames_column, shards
from revoskit.publishing import publish as publishing
from revoskit.publishing import push as pushing
from revoskit.publishing.push import Target
from revoskit.publishing.shards import Content

SMALL = {"frames": 5, "height": 72, "width": 128}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "ReVOS"
    write_miniature(root, videos=8, **SMALL)
    return root


@pytest.fixture(scope="module")
def published(data, tmp_path_factory) -> Path:
    return run(data, tmp_path_factory.mktemp("published"), shard_bytes=20_000)


def run(data: Path, folder: Path, *, content=Content(), configs=shards.CONFIGS, shard_bytes=10**9, **how) -> Path:  # noqa: B008
    layout = Layout.at(data)
    plan = publishing.make_plan(layout, content=content, configs=configs, shard_bytes=shard_bytes)
    publishing.publish(layout, folder, plan, revos.Revos(data_dir=None).info, **how)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*/*"))
    }


def load(folder: Path, config: str, cache: Path):
    return load_dataset(str(folder), config, cache_dir=str(cache))


def built(data: Path, config: str, cache: Path):
    return load_dataset("revos", config, data_dir=str(data), cache_dir=str(cache))


# --- what comes back --------------------------------------------------------------------------------------------------


def with_bytes(frames: list[dict]) -> list[dict]:
    return [{"bytes": Path(f["path"]).read_bytes(), "path": os.path.basename(f["path"])} for f in frames]


def test_videos_come_back_as_the_builder_gives_them(data, published, tmp_path):
    expected, found = built(data, "videos", tmp_path / "a"), load(published, "videos", tmp_path / "b")
    assert {split: len(rows) for split, rows in found.items()} == {"train": 3, "validation": 5, "train_sub": 1}
    for split, rows in expected.items():
        assert found[split].features == rows.features
        for mine, row in zip(found[split], rows, strict=True):
            assert mine == row | {"frames": with_bytes(row["frames"])}


def test_expressions_come_back_as_the_builder_gives_them_but_for_the_frames(data, published, tmp_path):
    expected, found = built(data, "expressions", tmp_path / "a"), load(published, "expressions", tmp_path / "b")
    videos = load(published, "videos", tmp_path / "c")
    for split, rows in expected.items():
        for mine, row in zip(found[split], rows, strict=True):
            assert videos[split][mine.pop("video_index")]["video_id"] == row["video_id"]
            del row["frames"]
            assert mine == row


# --- as the Hub and other readers of Parquet like it ------------------------------------------------------------------


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    """Masks that take more than the footer."""
    root = tmp_path_factory.mktemp("long")
    write_miniature(root / "ReVOS", videos=8, frames=40, height=96, width=128)
    return run(root / "ReVOS", root / "out", content=Content(frames="none"))


class CountingFile(io.FileIO):
    """What is read of a file, in bytes, by whichever way."""

    taken = 0

    def readinto(self, into) -> int:
        read = super().readinto(into)
        CountingFile.taken += read
        return read

    def read(self, size: int = -1) -> bytes:
        content = super().read(size)
        CountingFile.taken += len(content)
        return content


@pytest.mark.parametrize("config", ["expressions", "videos"])
def test_a_filter_by_video_reads_that_video_and_the_footer(long, tmp_path, monkeypatch, config):
    columns = ["video_id", "masks"] if config == "expressions" else ["video_id", "tracks"]
    whole = load(long, config, tmp_path / "a")["validation"]
    wanted = whole.unique("video_id")[len(whole.unique("video_id")) // 2]
    monkeypatch.setattr(parquet_reader, "open", lambda path, mode: CountingFile(path, mode), raising=False)

    def filtered(video_id: str) -> datasets.Dataset:
        CountingFile.taken = 0
        filters, cache = [("video_id", "==", video_id)], str(tmp_path / "b")
        return load_dataset(str(long), config, split="validation", filters=filters, columns=columns, cache_dir=cache)

    with pytest.raises(ValueError, match="no data"):
        filtered("no such video")
    footers = CountingFile.taken
    found = filtered(wanted)
    expected = whole.filter(lambda video_id: video_id == wanted, input_columns="video_id").select_columns(columns)
    assert list(found) == list(expected)
    (path,) = long.glob(f"{config}/validation-*.parquet")
    of_video = pq.read_metadata(path).row_group(len(whole.unique("video_id")) // 2)
    sizes = [of_video.column(i).total_compressed_size for i in range(of_video.num_columns)]
    assert 0 < CountingFile.taken - footers <= sum(sizes)


@pytest.mark.parametrize("config", ["expressions", "videos"])
def test_files_have_an_index_of_pages_and_a_row_group_for_each_video(published, long, config):
    for path in [*published.glob(f"{config}/*.parquet"), *long.glob(f"{config}/*.parquet")]:
        file = pq.ParquetFile(path)
        chunked = config == "expressions" or path.is_relative_to(long)
        said = json.loads(file.metadata.metadata.get(b"content_defined_chunking", b"null"))
        # as datasets 5 has it in DEFAULT_CDC_OPTIONS
        options = {"min_chunk_size": 2**18, "max_chunk_size": 2**20, "norm_level": 0}
        assert said == (options if chunked else None)
        for group in range(file.num_row_groups):
            assert len(set(file.read_row_group(group, ["video_id"])["video_id"].to_pylist())) == 1
            assert file.metadata.row_group(group).column(0).has_offset_index
            assert file.metadata.row_group(group).column(0).has_column_index


def test_one_changed_expression_leaves_all_other_bytes_as_they_were(data, tmp_path, edit_json):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    before = run(copy, tmp_path / "before")

    def change(content: dict) -> None:
        content["videos"]["OVIS/train/00e92ab4"]["expressions"]["1"]["exp"] = "a text of another length than it had"

    edit_json(copy / "meta_expressions_valid_.json", change)
    after = run(copy, tmp_path / "after")
    for config in ("expressions", "videos"):
        (old,), (new,) = ([*folder.glob(f"{config}/validation-*")] for folder in (before, after))
        kept = set(column_chunks(old))
        changed = [chunk for chunk in column_chunks(new) if chunk not in kept]
        groups = pq.read_metadata(new).num_row_groups
        # the column of texts in the one row group, and nothing of the masks or frames
        assert groups == 5
        assert len(changed) == 1
        assert len(changed[0]) < 1_000


def column_chunks(path: Path) -> list[bytes]:
    """The bytes of each column of each row group."""
    content = path.read_bytes()
    groups = [pq.read_metadata(path).row_group(i) for i in range(pq.read_metadata(path).num_row_groups)]
    columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    starts = [column.dictionary_page_offset or column.data_page_offset for column in columns]
    return [
        content[start : start + column.total_compressed_size] for start, column in zip(starts, columns, strict=True)
    ]


PLAIN = """
import sys
from datasets import load_dataset
folder, cache = sys.argv[1:]
for module in ("revos", "revoskit"):
    try:
        __import__(module)
    except ImportError:
        continue
    sys.exit(f"{module} is importable: this proves nothing")
for config in ("videos", "expressions"):
    rows = load_dataset(folder, config, split="validation", cache_dir=cache)
    streamed = list(load_dataset(folder, config, split="validation", streaming=True))
    assert streamed == list(rows), config
    print(config, len(rows), rows.features["height"].dtype)
print("default", load_dataset(folder, split="train", streaming=True).features.keys() >= {"video_index", "masks"})
"""


def test_plain_datasets_reads_and_streams_it_without_this_package(published, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # A finder that knows nothing of us, also where the package is installed for the tests.
    block = "import sys; sys.modules.update(dict.fromkeys(['revos', 'revoskit']))\n"
    done = subprocess.run(
        [sys.executable, "-I", "-c", block + PLAIN, str(published), str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    rows = 5 * 7  # five videos of validation with seven expressions each
    assert done.stdout.splitlines() == ["videos 5 int32", f"expressions {rows} int32", "default True"]


def test_the_files_alone_tell_their_features_in_a_spelling_old_versions_read(published, tmp_path):
    path = next(published.glob("videos/*.parquet"))
    metadata = json.loads(pq.read_schema(path).metadata[b"huggingface"])
    assert "List" not in json.dumps(metadata)
    assert Features.from_arrow_schema(pq.read_schema(path)) == shards.published_features("videos", Content())
    rows = load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path))
    assert rows.features == shards.published_features("videos", Content())


def test_frames_are_stored_as_they_are_and_uncompressed(data, published):
    path = published / next(one for one in digests(published) if one.startswith("videos/validation"))
    content = path.read_bytes()
    row = pq.read_table(path).slice(0, 1).to_pylist()[0]
    names = [data / "JPEGImages" / row["video_id"] / frame["path"] for frame in row["frames"]]
    assert all(content.count(name.read_bytes()) == 1 for name in names)


def test_without_frames_the_column_is_absent(data, tmp_path):
    folder = run(data, tmp_path / "out", content=Content(frames="none"))
    assert "frames" not in load(folder, "videos", tmp_path / "cache")["train"].features
    assert not any(b"\xff\xd8\xff" in path.read_bytes() for path in folder.glob("*/*"))


def test_annotations_can_be_published_where_no_frame_is_on_disk(data, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in data.glob("*.json"):
        shutil.copy(path, bare)
    run(bare, tmp_path / "out", content=Content(frames="none"))
    with pytest.raises(MissingFilesError, match=r"(?s)75 frames .*LV-VIS/train/01020/00000.jpg, .*--frames none"):
        publishing.make_plan(Layout.at(bare))


# --- another size -----------------------------------------------------------------------------------------------------


def test_smaller_frames_have_masks_and_sizes_to_fit(data, tmp_path):
    folder = run(data, tmp_path / "out", content=Content(max_side=64))
    videos = load(folder, "videos", tmp_path / "cache")["train"]
    original = {video.video_id: video for video in open_annotations(Layout.at(data), "train")}
    for row in videos:
        before = original[row["video_id"]]
        size = (36, 64) if before.width > before.height else (64, 36)
        assert (row["height"], row["width"]) == size
        assert all(Image.open(io.BytesIO(frame["bytes"])).size == size[::-1] for frame in row["frames"])
        masks = open_annotations(Layout.at(data), "train").masks(before)
        for track in row["tracks"]:
            full = masks.track(track["annotation_id"])
            assert [mask is None for mask in track["masks"]] == [mask is None for mask in full]
            half = full.decode()[:, 1::2, 1::2]  # the pixel that the centre of two by two falls to
            for mask, pixels in zip(track["masks"], half, strict=True):
                assert mask is None or (coco.decode(mask) == pixels).all()
    for row in load(folder, "expressions", tmp_path / "cache")["train"]:
        tracks = {track["annotation_id"]: track["masks"] for track in videos[row["video_index"]]["tracks"]}
        union = np.zeros((len(row["masks"]), row["height"], row["width"]), bool)
        for annotation_id in row["annotation_ids"]:
            for frame, mask in zip(union, tracks[annotation_id], strict=True):
                frame |= coco.decode(mask).astype(bool) if mask else False
        assert (coco.decode(row["masks"]).transpose(2, 0, 1) == union).all()
    assert "exceeded 64 pixels" in (folder / "README.md").read_text()


def test_frames_that_are_small_enough_stay_as_they_are(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    as_they_are = load(run(copy, tmp_path / "a", configs=["videos"]), "videos", tmp_path / "cache")
    content = Content(max_side=128)
    limited = run(copy, tmp_path / "b", configs=["videos"], content=content)
    for split, rows in load(limited, "videos", tmp_path / "cache").items():
        assert list(rows) == list(as_they_are[split])


@pytest.mark.parametrize("content", [Content(), Content(max_side=32)])
def test_a_frame_of_another_shape_stops_the_run_with_its_name(data, tmp_path, content):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    Image.new("RGB", (32, 32)).save(next(copy.rglob("00003.jpg")))
    with pytest.raises(FrameError, match=r"00003\.jpg is 32x32 pixels \(height x width\), the annotations say"):
        run(copy, tmp_path / "out", configs=["videos"], content=content)


def test_frames_of_another_size_take_that_of_their_row_and_the_card_says_of_which_video(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    frame = next(copy.rglob("00003.jpg"))
    with Image.open(frame) as image:
        image.resize((2 * image.width, 2 * image.height)).save(frame)
    out = tmp_path / "out"
    written = run(copy, out, configs=["videos"])
    for rows in load(written, "videos", tmp_path / "cache").values():
        for row in rows:
            assert {Image.open(io.BytesIO(frame["bytes"])).size for frame in row["frames"]} == {
                (row["width"], row["height"])
            }
    video_id = str(frame.parent.relative_to(copy / "JPEGImages"))
    assert re.search(
        rf"Not as filed:\*\* frames of {re.escape(video_id)} have another size", (out / "README.md").read_text()
    )


def test_a_frame_that_is_no_image_is_named(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    broken = next(copy.rglob("00002.jpg"))
    broken.write_bytes(b"not a JPEG")
    with pytest.raises(RevosError, match=re.escape(str(broken))):
        run(copy, tmp_path / "out", content=Content(max_side=64))


# --- shards -----------------------------------------------------------------------------------------------------------


def test_shards_hold_consecutive_videos_up_to_their_size(data):
    layout = Layout.at(data)
    plan = publishing.make_plan(layout, shard_bytes=20_000)
    of_videos = [shard for shard in plan.shards if (shard.config, shard.split) == ("videos", "train")]
    assert [shard.path for shard in of_videos][:2] == [
        f"videos/train-0000{i}-of-0000{len(of_videos)}.parquet" for i in range(2)
    ]
    ids = [video_id for shard in of_videos for video_id in shard.video_ids]
    assert ids == list(open_annotations(layout, "train").videos)
    for shard in plan.shards:
        assert shard.num_bytes <= 20_000 or len(shard.video_ids) == 1
    everything = publishing.make_plan(layout)
    assert len(everything.shards) == 6  # two configs, three splits


@pytest.mark.parametrize("how", [{"num_proc": 2}, {"num_proc": 2, "engine": "ray"}], ids=["processes", "ray"])
def test_the_bytes_are_the_same_whoever_writes_them(data, published, tmp_path, monkeypatch, how):
    if "engine" in how:
        pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    run(data, Path("relative"), shard_bytes=20_000, **how)  # workers may have another working directory
    assert len(digests(published)) > 10
    assert digests(tmp_path / "relative") == digests(published)


def test_row_groups_are_small_and_hold_whole_videos(data, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 1)
    folder = run(data, tmp_path)
    footer = pq.read_metadata(next(folder.glob("videos/train-*")))
    assert [footer.row_group(i).num_rows for i in range(footer.num_row_groups)] == [1] * 3


def test_the_expressions_of_one_video_can_take_several_row_groups(data, tmp_path, monkeypatch):
    whole = load(run(data, tmp_path / "whole"), "expressions", tmp_path / "cache")
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 300)
    folder = run(data, tmp_path / "divided")
    footer = pq.read_metadata(next(folder.glob("expressions/train-*")))
    assert footer.num_row_groups > 4  # videos
    assert max(footer.row_group(i).num_rows for i in range(footer.num_row_groups)) < 7  # expressions of each
    for split, rows in load(folder, "expressions", tmp_path / "cache").items():
        assert list(rows) == list(whole[split])


def test_expressions_of_absent_objects_fill_row_groups_too(data, tmp_path, monkeypatch):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    path = copy / "meta_expressions_train_.json"
    document = json.loads(path.read_text())
    absent = {"exp": "what is not there", "obj_id": [], "anno_id": [], "type_id": 2}
    first = next(iter(document["videos"].values()))
    first["expressions"] = {str(i): absent for i in range(1000)}
    path.write_text(json.dumps(document))
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 20_000)
    footer = pq.read_metadata(next(run(copy, tmp_path / "out", configs=["expressions"]).glob("expressions/train-*")))
    assert footer.num_row_groups > 5
    rows = pq.ParquetFile(tmp_path / "out" / "expressions" / "train-00000-of-00001.parquet").read_row_group(0)
    assert rows.nbytes < 40_000


@pytest.mark.parametrize(("config", "what"), [("videos", "its tracks"), ("expressions", "the masks of expression '0'")])
def test_masks_that_no_row_can_hold_are_refused(data, tmp_path, monkeypatch, config, what):
    monkeypatch.setattr(shards, "MAX_COLUMN_BYTES", 100)
    with pytest.raises(RevosError, match=rf"'LV-VIS/train/01020': {what} take [\d,]+ bytes, a row can hold 100"):
        run(data, tmp_path, configs=[config])


def test_a_video_whose_frames_no_row_can_hold_is_published_with_smaller_files(data, tmp_path, monkeypatch, capsys):
    size = sum(path.stat().st_size for path in (data / "JPEGImages" / LONG).glob("*.jpg"))
    monkeypatch.setattr(frames_column, "MAX_COLUMN_BYTES", room := size * 97 // 100)
    assert main(["publish", str(data), "-o", str(tmp_path / "out"), "--configs", "videos", "--num-proc", "1"]) == 0
    assert f"frames encoded anew: {LONG}" in capsys.readouterr().out
    assert f"**Not as filed:** the frames of {LONG}" in (tmp_path / "out" / "README.md").read_text()
    rows = load(tmp_path / "out", "videos", tmp_path / "cache")["validation"]
    row = next(row for row in rows if row["video_id"] == LONG)
    assert sum(len(frame["bytes"]) for frame in row["frames"]) <= room
    assert open_frame(row["frames"][0]).size == (row["width"], row["height"])


def test_a_video_without_expressions_and_a_split_without_videos_do_no_harm(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    path = copy / "meta_expressions_valid_.json"
    document = json.loads(path.read_text())
    for entry in document["videos"].values():
        entry["expressions"] = {}
    path.write_text(json.dumps(document))
    (copy / "meta_expressions_train_sub_.json").write_text('{"videos": {}}')
    folder = run(copy, tmp_path / "out")
    videos = load(folder, "videos", tmp_path / "cache")
    assert {split: len(rows) for split, rows in videos.items()} == {"train": 3, "validation": 5}
    assert set(load(folder, "expressions", tmp_path / "cache")) == {"train"}


def test_a_dataset_without_videos_is_refused(data, tmp_path):
    for path in data.glob("*.json"):
        (tmp_path / path.name).write_text('{"videos": {}}' if path.name.startswith("meta") else "{}")
    with pytest.raises(UsageError, match="nothing to publish"):
        publishing.make_plan(Layout.at(tmp_path))


def test_videos_without_expressions_take_no_rows_but_count(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    path = copy / "meta_expressions_train_.json"
    document = json.loads(path.read_text())
    first, second = list(document["videos"])[:2]
    document["videos"][first]["expressions"] = {}
    path.write_text(json.dumps(document))
    rows = load(run(copy, tmp_path / "out", shard_bytes=1), "expressions", tmp_path / "cache")["train"]
    assert (rows[0]["video_id"], rows[0]["video_index"]) == (second, 1)


# --- going on ---------------------------------------------------------------------------------------------------------


def test_a_run_that_was_killed_goes_on_where_it_was(data, published, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(published, folder)
    (folder / "README.md").unlink()
    kept, *others = sorted(folder.glob("videos/*.parquet"))
    others[0].unlink()
    others[1].write_bytes(others[1].read_bytes()[:-100])  # as a machine that loses power can leave it
    leftovers = [folder / "videos" / f"{others[0].name}.0123abcd.part", folder / "README.md.89abcdef.part"]
    for leftover in leftovers:
        leftover.write_bytes(b"PAR1")
    before = kept.stat().st_mtime_ns
    seen = []
    run(data, folder, shard_bytes=20_000, progress=seen.append)
    assert digests(folder) == digests(published)
    assert kept.stat().st_mtime_ns == before
    assert [leftover.exists() for leftover in leftovers] == [False, False]
    assert len(seen) == len(digests(published))


def test_what_is_not_the_shard_that_its_name_says_is_written_again(data, published, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(published, folder)
    first, second, third = sorted(folder.glob("videos/train-*"))[:3]
    assert pq.read_metadata(first).num_rows == pq.read_metadata(second).num_rows
    shutil.copyfile(first, second)
    pq.write_table(pq.read_table(third).replace_schema_metadata(None), third)  # somebody else's, with as many rows
    for number, damaged in enumerate(sorted(folder.glob("videos/validation-*"))):
        content = bytearray(damaged.read_bytes())
        footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        content[footer + 64 * number : footer + 64 * number + 64] = bytes(64)
        damaged.write_bytes(content)
    run(data, folder, shard_bytes=20_000)
    assert digests(folder) == digests(published)


def test_a_shard_that_fails_leaves_the_others_and_nothing_half_done(data, published, tmp_path, monkeypatch):
    def fail(video, masks, frames):
        if video.video_id.startswith("MOSE"):
            raise KeyboardInterrupt
        return real(video, masks, frames)

    real = shards.video_example
    monkeypatch.setattr(shards, "video_example", fail)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, shard_bytes=20_000)
    written = digests(tmp_path)
    assert written
    assert written.items() < digests(published).items()
    assert not (tmp_path / "README.md").exists()


def test_frames_that_would_fill_the_disk_are_not_begun(data, tmp_path, monkeypatch):
    needed = sum(path.stat().st_size for path in data.rglob("*.jpg")) + sum(  # train_sub is published beside train
        path.stat().st_size
        for video_id in open_annotations(Layout.at(data), "train_sub").videos
        for path in (data / "JPEGImages" / video_id).glob("*.jpg")
    )
    free = {"free": needed - 1}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), free))
    with pytest.raises(UsageError, match=rf"{needed:,} bytes .* has {needed - 1:,} bytes free: make room, or name"):
        run(data, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*/*"))
    run(data, tmp_path / "annotations", content=Content(frames="none"))  # what these take is not known beforehand
    free["free"] = needed
    run(data, tmp_path / "out")


def test_a_disk_that_is_full_is_named(data, tmp_path, monkeypatch):
    def fail(self, group):
        raise OSError(errno.ENOSPC, "Error writing bytes to file")

    monkeypatch.setattr(shards._Writer, "write", fail)
    with pytest.raises(RevosError, match=rf"the disk of {re.escape(str(tmp_path))}/.* is full: make room"):
        run(data, tmp_path)
    assert not list(tmp_path.glob("*/*"))


def test_what_cannot_be_meant_is_refused_before_anything_is_written(data, tmp_path):
    with pytest.raises(UsageError, match="--num-proc"):
        run(data, tmp_path / "out", num_proc=0)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is a file: name a folder"):
        run(data, tmp_path / "file")


def test_a_frame_that_is_a_link_to_nothing_is_missing(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    frame = next(copy.rglob("00002.jpg"))
    frame.unlink()
    frame.symlink_to("nowhere.jpg")
    with pytest.raises(
        MissingFilesError, match=rf"1 frames .*{re.escape(str(frame.relative_to(copy / 'JPEGImages')))}"
    ):
        run(copy, tmp_path / "out")


def test_other_datasets_are_not_published(tmp_path):
    with pytest.raises(UsageError, match="only ReVOS is published: what may be passed on of MeViS is said at https"):
        publishing.make_plan(Layout.at(tmp_path, "mevis"))


def test_other_options_or_other_data_are_refused_and_nothing_is_changed(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    folder = run(copy, tmp_path / "out")
    before = digests(folder)
    with pytest.raises(UsageError, match="with --shard-size 1000MB, and this is with --shard-size 20000"):
        run(copy, folder, shard_bytes=20_000)
    with pytest.raises(UsageError, match=r"with --frames embed, and this is with --frames none.* pass --fr"):
        run(copy, folder, content=Content(frames="none"))
    with pytest.raises(UsageError, match="with no --max-side, and this is with --max-side 64"):
        run(copy, folder, content=Content(max_side=64))
    frame = next(copy.rglob("00001.jpg"))
    os.utime(frame, ns=(0, 0))
    with pytest.raises(UsageError, match="is whole, and was published from other frames, or they have changed"):
        run(copy, folder)
    os.utime(copy / "mask_dict.json", ns=(0, 0))
    with pytest.raises(UsageError, match="is whole, and was published from other annotation files"):
        run(copy, folder)
    assert digests(folder) == before


def test_a_run_that_stopped_at_a_bad_frame_goes_on_once_it_is_mended(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    last = list(open_annotations(Layout.at(copy), "validation").videos)[-1]
    frame, whole = copy / "JPEGImages" / last / "00004.jpg", b""
    for damaged in (True, False):
        whole = whole or frame.read_bytes()
        frame.write_bytes(whole[:-50] if damaged else whole)
        if damaged:
            with pytest.raises(FrameError, match=re.escape(str(frame))):
                run(copy, tmp_path / "out", shard_bytes=20_000)
            before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*.parquet")}
    run(copy, tmp_path / "out", shard_bytes=20_000)
    assert len(before) > 5
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert digests(tmp_path / "out") == digests(run(data, tmp_path / "anew", shard_bytes=20_000))


@pytest.mark.parametrize("what", ["a frame", "the annotations"])
def test_data_that_changes_meanwhile_is_no_whole_publication(data, tmp_path, what):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    changing = next(copy.rglob("00001.jpg")) if what == "a frame" else copy / "meta_expressions_valid_.json"
    done: list[int] = []

    def change(num_bytes):
        done.append(num_bytes)
        if len(done) == 5:
            changing.write_bytes(changing.read_bytes().replace(b"the", b"THE"))

    with pytest.raises(RevosError, match=rf"{re.escape(str(copy))} changed while (.|\n)*ive the same command again"):
        run(copy, tmp_path / "out", shard_bytes=20_000, progress=change)
    assert not (tmp_path / "out" / "README.md").exists()
    run(copy, tmp_path / "out", shard_bytes=20_000)
    assert digests(tmp_path / "out") == digests(run(copy, tmp_path / "anew", shard_bytes=20_000))


def test_a_card_is_there_only_while_all_shards_are(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    folder = run(copy, tmp_path / "out", shard_bytes=20_000)
    for path in folder.glob("videos/*"):
        path.unlink()
    frame = next((copy / "JPEGImages/MOSE").rglob("00001.jpg"))
    status, content = frame.stat(), frame.read_bytes()
    frame.write_bytes(bytes(len(content)))
    os.utime(frame, ns=(status.st_atime_ns, status.st_mtime_ns))  # as if a disk had failed: the plan is the same
    with pytest.raises(FrameError):
        run(copy, folder, shard_bytes=20_000)
    assert not (folder / "README.md").exists()
    frame.write_bytes(content)
    run(copy, folder, shard_bytes=20_000)
    assert digests(folder) == digests(run(data, tmp_path / "anew", shard_bytes=20_000))


def test_an_edited_card_stays(data, tmp_path, capsys):
    folder = run(data, tmp_path / "out")
    card = folder / "README.md"
    written = card.read_text()
    card.write_text(written.replace("## License", "Ask me.\n\n## License"))
    run(data, folder, repository="me/revos")
    assert "Ask me." in card.read_text()
    assert publishing.describe(folder, []).endswith("README.md, edited and left as it is")
    next(folder.glob("videos/*")).unlink()
    with pytest.raises(UsageError, match=r"README.md was edited, and 1 shards are to be written"):
        run(data, folder)
    card.write_text(written)
    run(data, folder, repository="me/revos")
    assert 'load_dataset("me/revos"' in card.read_text()
    assert publishing.describe(folder, []).endswith("README.md")


def test_files_of_others_in_the_folder_stay(data, tmp_path):
    others = [tmp_path / "mine.0123abcd.part", tmp_path / "sub" / "dl.zip.deadbeef.part"]
    (tmp_path / "sub").mkdir()
    for other in others:
        other.write_bytes(b"x")
    run(data, tmp_path)
    assert all(other.exists() for other in others)


def test_a_run_that_stopped_at_bad_masks_starts_anew_once_they_are_mended(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    path = copy / "mask_dict.json"
    tracks = json.loads(path.read_text())
    path.write_text(json.dumps({**tracks, list(tracks)[-1]: [{"size": [1, 1], "counts": "x"}]}))
    with pytest.raises(AnnotationError):
        run(copy, tmp_path / "out", shard_bytes=20_000)
    assert digests(tmp_path / "out")
    shutil.copyfile(data / "mask_dict.json", path)
    assert digests(run(copy, tmp_path / "out", shard_bytes=20_000)) == digests(
        run(data, tmp_path / "anew", shard_bytes=20_000)
    )


def test_a_plan_of_which_nothing_is_written_yet_gives_way(data, tmp_path):
    run(data, tmp_path)
    shutil.rmtree(tmp_path / "videos")
    shutil.rmtree(tmp_path / "expressions")
    run(data, tmp_path, content=Content(frames="none"))


def test_a_folder_that_holds_something_else_is_left_alone(data, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UsageError, match="was not published from here"):
        run(data, tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"configs": ["clips"]}, "no config clips: expected expressions or videos"),
        ({"configs": []}, "none named"),
        ({"content": Content("none", 64)}, "--frames embed"),
        ({"content": Content("embed", 64), "configs": ["expressions"]}, "config videos"),
        ({"content": Content("embed", 0)}, "at least 1 pixel"),
        ({"shard_bytes": 0}, "0 bytes"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(data, options, message):
    with pytest.raises(UsageError, match=message):
        publishing.make_plan(Layout.at(data), **options)


@pytest.mark.parametrize(
    ("text", "size"), [("500MB", 500_000_000), ("1GiB", 2**30), ("1.5 kB", 1500), ("7", 7), ("2g", 2 * 10**9)]
)
def test_sizes_are_read(text, size):
    assert publishing.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "5 parsecs", f"{'9' * 400}TB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="expected one such as 500MB"):
        publishing.parse_size(text)


# --- the card ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", ["embed", "none"])
def test_the_cards_recipe_runs(data, frames, tmp_path, monkeypatch):
    folder = run(data, tmp_path / "out", content=Content(frames=frames))
    text = (folder / "README.md").read_text()
    (recipe,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len([line for line in recipe.splitlines() if line and "import" not in line]) <= 10
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ReVOS").symlink_to(data)
    variables: dict = {}
    exec(recipe.replace("OWNER/NAME", str(folder)), variables)
    row, frames, masks = (variables[name] for name in ("row", "frames", "masks"))
    assert masks.shape == (row["height"], row["width"], len(frames))
    assert all(frame.size == (row["width"], row["height"]) for frame in frames)
    assert variables["video"]["video_id"] == row["video_id"]


def test_the_card_of_expressions_alone_does_not_send_anyone_to_videos(data, tmp_path):
    text = (run(data, tmp_path / "out", configs=["expressions"]) / "README.md").read_text()
    assert "of config `videos`, which is not here" in text
    (recipe,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(recipe.replace("OWNER/NAME", str(tmp_path / "out")))
    assert len(printed.getvalue().splitlines()) == 35


def test_names_of_sources_are_shown_as_they_are(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    for path in copy.glob("meta_expressions_*.json"):
        path.write_text(path.read_text().replace("LV-VIS/", "a|*b*\\n\\n# [c](d) <e>/"))
    text = (run(copy, tmp_path / "out", content=Content("none")) / "README.md").read_text()
    row = next(line for line in text.splitlines() if "a&#124;" in line)
    shown = html.unescape(row.split("|")[2]).strip()
    assert shown == "a|*b* # [c](d) <e>"
    assert not set("<>[]*") & set(row)


def test_the_card_counts_this_data_and_says_whose_it_is(published):
    text = (published / "README.md").read_text()
    assert "license: cc-by-nc-sa-4.0" in text
    assert text.count("default: true") == 1
    assert re.search(r"\| validation +\| all +\| +5 \| +60 \| +15 \| +35 \|", text)
    assert "copyright stays with the organizers" in text
    assert "yan2024visa" in text
    assert "num_examples" not in text  # `datasets` would refuse to load a part of them with `filters`


# --- the command and the Hub ------------------------------------------------------------------------------------------


def test_the_command_publishes(data, tmp_path, capsys):
    arguments = ["publish", "--data-dir", str(data), "-o", str(tmp_path / "out"), "--configs", "videos", "--json"]
    assert main(arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [shard["rows"] for shard in answer["shards"]] == [3, 5, 1]
    assert main([*arguments, "--shard-size", "much"]) == 2
    assert "expected one such as 500MB" in capsys.readouterr().err
    assert main([*arguments, "--push", "OWNER/NAME"]) == 2  # there is no terminal to ask at
    assert "--yes" in capsys.readouterr().err


@pytest.fixture
def hub():
    with StandInHub() as hub:
        yield hub


@contextlib.contextmanager
def asked_here(address: str):
    """The client of the Hub in this process asks that address, as somebody who is logged in there."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (huggingface_hub.constants, huggingface_hub.hf_api):  # read from the one or the other
            patched.setattr(module, "ENDPOINT", address, raising=False)
        patched.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True, raising=False)
        patched.setenv("HF_HUB_DISABLE_XET", "1")  # which others read each time
        patched.setenv("HF_TOKEN", TOKEN)
        yield


def typed(data, folder, *options) -> list[str]:
    return ["publish", "--data-dir", str(data), "-o", str(folder), "--push", "someone/revos", *options]


def push(hub, data, folder, *options) -> subprocess.CompletedProcess:
    """The command in this process, which takes a fifth of the time of one of its own."""
    arguments = typed(data, folder, "--num-proc", "1", *options)
    out, err = io.StringIO(), io.StringIO()
    with asked_here(hub.address), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def push_from_a_process(hub, data, folder, *options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "revoskit.cli", *typed(data, folder, *options)]
    environment = {**os.environ, **hub.environment, "HF_HOME": str(folder.parent / "home")}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_a_push_brings_all_without_frames_and_goes_on_after_an_interruption(hub, data, tmp_path):
    folder = tmp_path / "out"
    hub.refuse_uploads_after = 2
    done = push(hub, data, folder, "--yes", "--private")
    assert done.returncode == 2
    assert "Error while uploading" in done.stderr
    assert "The same command continues" in done.stderr
    hub.refuse_uploads_after = None
    done = push_from_a_process(hub, data, folder, "--yes", "--private")
    assert done.returncode == 0, done.stderr
    assert "private: you" in done.stderr
    assert "annotations only" in done.stderr

    repository = hub.repositories["someone/revos"]
    assert repository.private
    local = {*digests(folder), "README.md"}
    assert set(repository.files) == local
    assert all(hub.content("someone/revos", path) == (folder / path).read_bytes() for path in local)
    assert len(hub.received) == len(set(hub.received)) == len(local) - 1  # what had arrived was not sent again
    assert 'load_dataset("someone/revos", "videos"' in (folder / "README.md").read_text()

    code = "from datasets import load_dataset; print(load_dataset('someone/revos', 'videos')['train'][0]['video_id'])"
    environment = {**os.environ, **hub.environment, "HF_HOME": str(tmp_path / "reader")}
    read = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert read.stdout.strip() == "LV-VIS/train/01020", read.stderr


def test_a_push_brings_this_publication_and_nothing_else_wherever_it_was_pushed_before(hub, data, tmp_path):
    folder = run(data, tmp_path / "out", configs=["expressions"])
    shutil.copyfile(next(folder.glob("*/*.parquet")), folder / "expressions" / "mine.parquet")
    options = ("--frames", "embed", "--configs", "expressions", "--shard-size", "1GB", "--yes", "--json")
    for name in ("someone/revos", "someone/again"):
        done = push(hub, data, folder, *options, "--push", name)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["url"] == f"{hub.address}/datasets/{name}"
        assert re.search(r"expressions/train-\*-of-00001.parquet +1 ", done.stderr)
        assert "annotations only" in done.stderr
        assert set(hub.repositories[name].files) == {*digests(folder), "README.md"} - {"expressions/mine.parquet"}


def test_shards_of_an_earlier_division_go_in_the_commit_that_brings_the_new_ones(hub, data, tmp_path):
    assert push(hub, data, tmp_path / "many", "--shard-size", "5000", "--yes").returncode == 0
    repository = hub.repositories["someone/revos"]
    before = set(repository.files)
    other = {"expressions/mine.parquet", "extra/train-00000-of-00009.parquet", "videos/test-00000-of-00009.parquet"}
    repository.files |= dict.fromkeys(other, hub.keep(b"somebody else's"))
    commits = repository.commits

    done = push(hub, data, tmp_path / "few", "--yes")

    assert done.returncode == 0, done.stderr
    new = {*digests(tmp_path / "few"), "README.md"}
    assert set(repository.files) == new | other
    assert repository.commits == commits + 1
    gone = sorted(before - new)
    assert f"{len(gone):,} files ({', '.join(gone[:3])}, …)" in done.stderr


def test_a_dry_run_says_what_would_go_where_without_network_and_writes_nothing(data, tmp_path, capsys):
    def dry(*options: str) -> str:
        with asked_here("http://127.0.0.1:9"):
            assert main(["publish", "--data-dir", str(data), "-o", str(tmp_path / "out"), "--dry-run", *options]) == 0
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().out

    said = dry("--push", "someone/revos", "--private")
    assert "/datasets/someone/revos (private: you" in said
    assert "annotations only" in said
    assert "FRAMES of these videos" in dry("--push", "someone/revos", "--frames", "embed")
    planned = json.loads(dry("--push", "someone/revos", "--shard-size", "20000", "--json"))["shards"]
    folder = run(data, tmp_path / "real", content=Content(frames="none"), shard_bytes=20_000)
    assert {one["path"]: one["rows"] for one in planned} == {
        path: pq.read_metadata(folder / path).num_rows for path in digests(folder)
    }
    assert re.search(r"expressions +train +\d+ +1 ", dry())


def test_a_dry_run_refuses_a_name_that_no_repository_can_have(data, tmp_path, capsys):
    assert main(["publish", "--data-dir", str(data), "-o", str(tmp_path), "--dry-run", "--push", "revos"]) == 2
    assert "'revos' is not of the form OWNER/NAME" in capsys.readouterr().err


def test_who_will_see_it_is_asked_of_the_hub(hub, data, tmp_path):
    hub.repositories["someone/revos"] = Repository(private=True)
    done = push(hub, data, tmp_path / "out", "--yes")
    assert "/datasets/someone/revos, which exists (private: you" in done.stderr
    assert hub.repositories["someone/revos"].files


def test_a_push_asks_and_takes_no_for_an_answer(hub, data, tmp_path, monkeypatch):
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    with open(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        done = push(hub, data, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "non-commercial" in done.stderr
    assert "/datasets/someone/revos, a new repository (public: anyone)" in done.stderr
    assert "Not uploaded" in done.stderr
    assert not hub.repositories


@pytest.fixture
def logged_in(hub):
    with asked_here(hub.address):
        yield hub


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("someone-else/revos", r"is not you \(someone\) .* push to someone or the-lab, such as someone/revos"),
        ("revos", "'revos' is not of the form OWNER/NAME"),
        ("a/b/c", "'a/b/c' is not of the form OWNER/NAME"),
        ("", "'' is not of the form OWNER/NAME"),
        ("someone/re vos", "cannot be a repository"),
    ],
)
def test_a_repository_that_cannot_be_written_to_is_refused_before_any_work(logged_in, data, tmp_path, name, message):
    logged_in.organizations = ["the-lab"]
    options = ["publish", "--data-dir", str(data), "-o", str(tmp_path / "out"), "--yes", "--push", name]
    error = io.StringIO()
    with contextlib.redirect_stderr(error):
        assert main(options) == 2
    assert re.search(message, error.getvalue())
    assert not (tmp_path / "out").exists()
    pushing.check_access(Target("The-Lab/revos"))  # names there differ by more than case


def test_a_token_that_may_only_read_is_refused(logged_in):
    logged_in.role = "read"
    with pytest.raises(UsageError, match=r"token of someone may only read: .*/settings/tokens"):
        pushing.check_access(Target("someone/revos"))


def test_a_token_that_the_hub_does_not_know_and_none_at_all_are_told_apart(logged_in, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(RevosError, match=r"(?s)Invalid.*hf auth login") as caught:
        pushing.check_access(Target("someone/revos"))
    assert "continues" not in str(caught.value)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="nobody is logged in to the Hub"):
        pushing.check_access(Target("someone/revos"))


def test_a_private_push_does_not_go_to_a_public_repository(hub, data, tmp_path):
    hub.repositories["someone/revos"] = Repository(private=False)
    done = push(hub, data, tmp_path / "out", "--yes", "--private")
    assert done.returncode == 2
    assert "exists and is public" in done.stderr
    assert hub.repositories["someone/revos"].commits == 0
    assert not (tmp_path / "out").exists()  # before hours of work
