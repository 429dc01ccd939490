"""What lies in place of a picture: nothing is waited for without end, and nothing fills the memory."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from revoskit import Layout, evaluate, open_annotations
from revoskit.cli import main
from revoskit.errors import AnnotationError, FrameError, MaskError, UsageError
from revoskit.frames import FrameFile
from revoskit.inference import answers
from revoskit.masks.rle import MaskSequence, compressed, faults
from revoskit.regular import open_regular
from revoskit.scoring.prediction import ProblemKind
from revoskit.text import brief

SPECIAL = ["fifo", "device", "sparse"]


def put(kind: str, path) -> None:
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(20 * 10**9)


pytestmark = pytest.mark.skipif(os.name == "nt", reason="there are no such files")


@pytest.mark.parametrize("kind", SPECIAL)
def test_only_files_of_a_sensible_size_are_opened(kind, tmp_path):
    put(kind, tmp_path / "x")
    with pytest.raises(OSError, match=r"not a file|it has 20,000,000,000 bytes"):
        open_regular(tmp_path / "x")


def test_a_file_is_opened(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    with open_regular(tmp_path / "x") as file:
        assert file.readall() == b"content"


@pytest.mark.parametrize("kind", SPECIAL)
def test_a_frame_that_is_no_file_is_a_broken_frame(kind, tmp_path):
    put(kind, tmp_path / "x.jpg")
    with pytest.raises(FrameError, match=r"x\.jpg"):
        FrameFile(str(tmp_path / "x.jpg")).size()


@pytest.mark.parametrize("kind", SPECIAL)
def test_a_prediction_that_is_no_file_is_unreadable(kind, own_miniature, tmp_path):
    layout = Layout.at(own_miniature.root)
    video = next(iter(open_annotations(layout, "validation")))
    folder = tmp_path / "P" / video.video_id / "0"
    folder.mkdir(parents=True)
    for name in video.frame_names:
        put(kind, folder / f"{name}.png")
    found = evaluate(tmp_path / "P", layout.root)
    assert next(p.kind for p in found.missing if p.expression_id == "0") is ProblemKind.UNREADABLE


@pytest.mark.parametrize("kind", SPECIAL)
def test_commands_end_where_a_frame_is_no_file(kind, own_miniature, tmp_path, capsys):
    video = next(iter(open_annotations(Layout.at(own_miniature.root), "train")))
    frame = own_miniature.root / "JPEGImages" / video.video_id / f"{video.frame_names[0]}.jpg"
    put(kind, frame)
    root, out = str(own_miniature.root), str(tmp_path / "out")
    assert main(["check", root, "--num-proc", "1"]) == 1
    assert main(["show", video.video_id, root, "-o", f"{out}.png"]) == 2
    assert main(["gallery", root, "--split", "train", "--max-side", "32", "--num-proc", "1", "-o", f"{out}-page"]) == 2
    assert main(["export", root, "--to", "webdataset", "--num-proc", "1", "-o", f"{out}-shards"]) == 2
    assert main(["export", root, "--to", "mevis", "--frames", "copy", "--num-proc", "1", "-o", f"{out}-mevis"]) == 2
    assert frame.name in capsys.readouterr().err


# --- what claims to be large ------------------------------------------------------------------------------------------


def claiming(side: int) -> bytes:
    """A PNG of a few bytes that says that it has `side` pixels a side."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def test_a_prediction_that_claims_too_many_pixels_is_not_decoded(own_miniature, tmp_path, monkeypatch):
    monkeypatch.setattr("revoskit.scoring.mask_png.decode", None)
    layout = Layout.at(own_miniature.root)
    video = next(iter(open_annotations(layout, "validation")))
    folder = tmp_path / "P" / video.video_id / "0"
    folder.mkdir(parents=True)
    for name in video.frame_names:
        (folder / f"{name}.png").write_bytes(claiming(32768))
    found = evaluate(tmp_path / "P", layout.root)
    problem = next(p for p in found.missing if p.expression_id == "0")
    assert problem.kind is ProblemKind.UNREADABLE
    assert "it claims 32,768 x 32,768 pixels" in problem.reason


def test_counts_that_no_mask_needs_are_a_fault():
    mask = {"size": [2, 2], "counts": "0" * 10_000 + "4"}
    assert "its counts have 10,001 characters" in faults([mask], 2, 2)[0].reason


def test_masks_without_end_are_refused(own_miniature, edit_json, capsys):
    with pytest.raises(MaskError, match="not supported"):
        MaskSequence.empty(1, 2**31 - 1, 2**31 - 1)

    def enlarge(content: dict) -> None:
        for video in content["videos"].values():
            video["height"] = video["width"] = 2**31 - 1

    edit_json(own_miniature.root / "meta_expressions_valid_.json", enlarge)
    root = str(own_miniature.root)
    assert main(["check", root, "--num-proc", "1"]) == 1
    for form in ("ytvos", "mevis", "coco", "webdataset"):
        out = str(own_miniature.root / form)
        assert main(["export", root, "--to", form, "--num-proc", "1", "-o", out, "--split", "validation"]) == 2
        assert "video 'OVIS/train/00e92ab4' says that it is 2147483647x2147483647 pixels" in capsys.readouterr().err
    with pytest.raises(AnnotationError, match="OVIS/train/00e92ab4"):
        evaluate({}, root)


class Looked(list):
    """A long list that notes who looks into it."""

    def __iter__(self):
        raise AssertionError("it is looked into")


def test_run_lengths_that_no_mask_needs_are_counted_and_not_looked_at():
    counts = Looked([1] * 2000)
    assert "its counts are 2,000 numbers" in faults([{"size": [2, 2], "counts": counts}], 2, 2)[0].reason
    with pytest.raises(MaskError, match="its counts are 2,000 numbers"):
        compressed(counts, [2, 2])
    assert answers.compressed({"size": [2, 2], "counts": counts}, 2, 2)["counts"] is counts


def test_a_long_value_is_not_written_out_to_say_how_it_begins():
    class Noting:
        written = 0

        def __repr__(self):
            Noting.written += 1
            return "1"

    assert brief([Noting()] * 1000).startswith("[1, 1, 1")
    assert Noting.written < 10
    assert len(brief({"size": "x" * 1000, "counts": list(range(1000))}, 80)) <= 80


# --- tables that want to open something -------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["masks", "video_id"])
def test_a_table_whose_columns_would_be_opened_is_refused(column, own_miniature, tmp_path):
    import datasets

    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "private.png")
    row = {"video_id": ["a"], "expression_id": ["0"], "masks": [["x"]]}
    kind = datasets.Image()
    row[column] = [[str(tmp_path / "private.png")]] if column == "masks" else [str(tmp_path / "private.png")]
    table = datasets.Dataset.from_dict(row)
    table = table.cast_column(column, [kind] if column == "masks" else kind)
    table.to_parquet(str(tmp_path / "p.parquet"))
    table.save_to_disk(str(tmp_path / "saved"))
    for source in (tmp_path / "p.parquet", tmp_path / "saved", table):
        with pytest.raises(UsageError, match=f"the column {column} holds Image, which would have to be opened"):
            evaluate(source, own_miniature.root)
