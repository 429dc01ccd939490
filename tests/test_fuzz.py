"""Wild input to everything that reads files of others: no crash, no hang, and nothing wrong is taken for right.

Each test states how many inputs it tries; `REVOS_FUZZ=20` tries twenty times as many. What a reader accepts is held
against a slow reader written here, which knows nothing of the ones under test.
"""

import contextlib
import gzip
import io
import json
import math
import os
import random
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mask_strategies import pixels
from official_files import zip_frames

from revoskit.atomic import LOCK
from revoskit.checking.check import check
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.expressions import read_expressions, scan_expressions
from revoskit.dataset.layout import EXPRESSIONS, FOREGROUND, FRAMES_ARCHIVE, FRAMES_FOLDER, TRACKS, Layout
from revoskit.dataset.tracks import ForegroundFile, TrackFile
from revoskit.errors import AnnotationError, ArchiveError, MissingFilesError
from revoskit.getting import unpack
from revoskit.masks import rle
from revoskit.miniature import write_miniature

TIMES = int(os.environ.get("REVOS_FUZZ", "1"))


def inputs(count):
    return settings(
        max_examples=count * TIMES,
        deadline=None,
        database=None,
        derandomize=TIMES == 1,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "ReVOS"
    write_miniature(root, videos=2, frames=3, height=24, width=32)
    return root


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


def mutated(content: bytes, seed: int) -> bytes:
    """A file with one to four injuries: bits flipped, bytes lost, doubled, overwritten, cut off, or exchanged."""
    rng = random.Random(seed)
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(len(content) + 1) if content else 0
        length = rng.choice([1, 1, 2, 8, 40])
        kind = rng.randrange(7)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del content[at : at + length]
        elif kind == 2:
            content[at:at] = content[at : at + length]
        elif kind == 3:
            content[at : at + length] = rng.randbytes(length)
        elif kind == 4:
            del content[at:]
        elif kind == 5:
            content[at : at + length] = rng.choice(_TOKENS)
        else:
            other = rng.randrange(len(content) + 1) if content else 0
            content[at : at + length] = content[other : other + length]
    return bytes(content)


_TOKENS = [
    b"null",
    b"[]",
    b"{}",
    b'""',
    b"-1",
    b"1e9",
    b"99999999999999999999",
    b"true",
    b'"..\\/x"',
    b"\\ud800",
    b"NaN",
]
_TOKENS += [b"[" * 3000, b"\xff\xff\xff\xff", b"\0\0\0\0", b'"counts":"",', b",", b'"size":[24,32],', b"\xff"]

# --- RLE: 600 sequences -----------------------------------------------------------------------------------------------


def slowly_decoded(counts: str, height: int, width: int):
    """COCO's format read digit by digit: the mask's pixels, or null where there is none."""
    runs, number, place = [], 0, 0
    if not counts or any(not 48 <= ord(char) < 112 for char in counts):
        return None
    for char in counts:
        digit = ord(char) - 48
        number |= (digit & 31) << (5 * place)
        place += 1
        if place > 6:  # seven digits of five bits reach beyond what native code can count
            return None
        if not digit & 32:
            if digit & 16:
                number -= 1 << (5 * place)
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number = place = 0
    if place or any(run < 0 for run in runs) or sum(runs) != height * width:
        return None
    pixels = [value for i, run in enumerate(runs) for value in [i % 2] * run]
    return np.array(pixels, np.uint8).reshape(width, height).T


_SOUND = pixels(1, 5, 7).map(lambda noise: rle.MaskSequence.encode(noise)[0]["counts"])


@st.composite
def _injured(draw):
    counts = draw(_SOUND)
    at = draw(st.integers(0, len(counts)))
    return (
        counts[:at] + draw(st.text(st.characters(min_codepoint=46, max_codepoint=114), max_size=3)) + counts[at + 1 :]
    )


_COUNTS = st.one_of(_SOUND, _injured(), st.text(max_size=12))


@inputs(600)
@given(st.lists(st.one_of(st.none(), _COUNTS), max_size=5))
def test_masks_are_accepted_exactly_where_a_slow_decoder_accepts_them(counts):
    masks = [None if text is None else {"size": [5, 7], "counts": text} for text in counts]
    expected = [None if text is None else slowly_decoded(text, 5, 7) for text in counts]
    wrong = [i for i, text in enumerate(counts) if text is not None and expected[i] is None]
    assert [fault.index for fault in rle.faults(masks, 5, 7)] == wrong
    if not wrong:
        pixels = rle.MaskSequence.parse(masks, 5, 7).decode()
        for got, want in zip(pixels, expected, strict=True):
            assert (got == (0 if want is None else want)).all()


# --- JSON: 500 + 500 files --------------------------------------------------------------------------------------------


def _says_where(error, path):
    assert str(path) in str(error)


def plainly_read(path):
    """The document, by a reader that refuses equal keys; null where it is no JSON."""

    def unique(pairs):
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("a key twice")
        return dict(pairs)

    try:
        return json.loads(path.read_bytes(), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        return None


@inputs(500)
@given(seed=st.integers(0, 2**40))
def test_an_injured_expressions_file_is_refused_or_read_as_it_stands(made, scratch, seed):
    path = scratch / EXPRESSIONS["train"]
    path.write_bytes(mutated((made / path.name).read_bytes(), seed))
    try:
        videos = read_expressions(Layout.at(scratch).split("train"))
    except AnnotationError as error:
        _says_where(error, path)
        with contextlib.suppress(AnnotationError):
            _, faults = scan_expressions(Layout.at(scratch).split("train"))
            assert faults
        return
    document = plainly_read(path)["videos"]  # accepted, so it is JSON, and all of it is there
    assert list(videos) == list(document)
    for video_id, video in videos.items():
        entry = document[video_id]
        assert (video.height, video.width, list(video.frame_names)) == (
            entry["height"],
            entry["width"],
            entry["frames"],
        )
        assert ".." not in video_id.split("/")
        assert not video_id.startswith("/")
        for expression, (key, raw) in zip(video.expressions, entry["expressions"].items(), strict=True):
            assert (expression.expression_id, expression.text, int(expression.type)) == (
                key,
                raw["exp"],
                raw["type_id"],
            )
            assert list(expression.annotation_ids) == raw["anno_id"]
            assert list(expression.object_ids) == raw["obj_id"]


@inputs(500)
@given(seed=st.integers(0, 2**40), foreground=st.booleans())
def test_injured_mask_files_are_refused_or_read_as_they_stand(made, scratch, seed, foreground):
    path = scratch / (FOREGROUND if foreground else TRACKS)
    path.write_bytes(mutated((made / path.name).read_bytes(), seed))
    videos = read_expressions(Layout.at(made).split("train"))
    try:
        file = (ForegroundFile if foreground else TrackFile)(path)
    except AnnotationError as error:
        _says_where(error, path)
        return
    document = plainly_read(path)
    for video in videos.values():
        if foreground and video.video_id not in file:
            continue
        for key in [video.video_id] if foreground else video.annotation_ids:
            try:
                masks = file.read(video) if foreground else file.read(key, video)
            except AnnotationError as error:
                _says_where(error, path)
                continue
            if document is None:
                continue  # what is read of the file is sound; elsewhere it is no JSON, which is not looked at
            raw = document[str(key)]["masks_rle"] if foreground else document[str(key)]
            assert len(raw) == len(video.frame_names)
            for got, want in zip(masks.decode(), raw, strict=True):
                expected = 0 if want is None else slowly_decoded(want["counts"], video.height, video.width)
                assert expected is not None
                assert (got == expected).all()
                assert want is None or want["size"] == [video.height, video.width]


# --- archives: 300 zips, 200 tars, 300 names --------------------------------------------------------------------------


def unpacked(root):
    folder = root / FRAMES_FOLDER
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def originals(made, tmp_path_factory):
    """The content of every frame, and the archives to injure: by method, with and without a folder around."""
    folder = tmp_path_factory.mktemp("archives")
    archives = []
    for i, (prefix, method) in enumerate([("", zipfile.ZIP_STORED), ("JPEGImages/", zipfile.ZIP_DEFLATED)]):
        zip_frames(made, folder / f"{i}.zip", prefix, method)
        archives.append((folder / f"{i}.zip").read_bytes())
    with tarfile.open(folder / "tar", "w") as tar:
        tar.add(made / FRAMES_FOLDER, FRAMES_FOLDER)
    return unpacked(made), archives, (folder / "tar").read_bytes()


def fresh(scratch):
    shutil.rmtree(scratch / "root", ignore_errors=True)
    (scratch / "root").mkdir()
    return scratch / "root"


def injured_zip(content, seed):
    """Half of the injuries go where they hurt: into the directory and its end."""
    if seed % 2:
        return mutated(content, seed)
    start = content.find(b"PK\1\2")
    return content[:start] + mutated(content[start:], seed)


@inputs(300)
@given(seed=st.integers(0, 2**40))
def test_an_injured_zip_gives_the_original_frames_or_says_what_it_does_not(originals, scratch, seed):
    frames, archives, _ = originals
    root = fresh(scratch)
    (root / FRAMES_ARCHIVE).write_bytes(injured_zip(archives[seed // 2 % 2], seed))
    try:
        done = unpack.unpack(Layout.at(root), num_proc=1)
    except ArchiveError:
        assert unpacked(root) == {}
        assert [path.name for path in scratch.iterdir() if path.name.startswith("evil")] == []
        return
    found = unpacked(root)
    assert found.items() <= frames.items()
    assert found == frames or done.damaged or done.left_out


@inputs(200)
@given(seed=st.integers(0, 2**40))
def test_an_injured_tar_gz_gives_the_original_frames_or_an_error(originals, scratch, seed):
    frames, _, tar = originals
    root = fresh(scratch)
    (root / "JPEGImages.tar.gz").write_bytes(mutated(gzip.compress(tar, 1, mtime=0), seed))
    try:
        unpack.unpack(Layout.at(root))
    except ArchiveError:
        return
    assert unpacked(root) == frames


@inputs(300)
@given(name=st.text(st.sampled_from("./\\:aC\0é"), min_size=1, max_size=12), tar=st.booleans())
def test_no_name_leads_out_of_the_root(scratch, name, tar):
    root = fresh(scratch)
    outside = sorted(path.name for path in scratch.iterdir())
    if tar:
        with tarfile.open(root / "JPEGImages.tar", "w") as opened:
            info = tarfile.TarInfo(name + ".jpg")
            info.size = 1
            opened.addfile(info, io.BytesIO(b"x"))
    else:
        with zipfile.ZipFile(root / FRAMES_ARCHIVE, "w") as opened:
            info = zipfile.ZipInfo("x")
            info.filename = name + ".jpg"
            opened.writestr(info, "x")
    try:
        unpack.unpack(Layout.at(root), num_proc=1)
    except ArchiveError:
        assert unpacked(root) == {}
    assert sorted(path.name for path in scratch.iterdir()) == outside
    assert {path.name for path in root.iterdir()} <= {"JPEGImages.tar", FRAMES_ARCHIVE, FRAMES_FOLDER, LOCK}


# --- a whole copy: 60 -------------------------------------------------------------------------------------------------


@inputs(60)
@given(seed=st.integers(0, 2**40), name=st.sampled_from([TRACKS, FOREGROUND, *EXPRESSIONS.values(), "a frame"]))
def test_the_check_of_an_injured_copy_comes_to_an_end_and_its_errors_are_those_of_loading(made, scratch, seed, name):
    root = scratch / "copy"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(made, root)
    path = next(root.rglob("*.jpg")) if name == "a frame" else root / name
    path.write_bytes(mutated(path.read_bytes(), seed))
    report = check(Layout.at(root), decode=True, num_proc=1)
    assert all(math.isfinite(finding.count) and finding.examples for finding in report.findings)
    if report.worst != "error":
        for split in Layout.at(root).splits():
            annotations = open_annotations(Layout.at(root), split)
            for video in annotations:
                masks = annotations.masks(video)
                assert len(masks.foreground()) == len(video.frame_names)
                for expression in video.expressions:
                    masks.of(expression).decode()


@pytest.mark.filterwarnings("ignore:.*Foregrounds? (is|are) made:UserWarning", "ignore:.*left out:UserWarning")
@pytest.mark.filterwarnings("ignore:.*is not the union of its tracks:UserWarning")
@inputs(60)
@given(seed=st.integers(0, 2**40), name=st.sampled_from([TRACKS, FOREGROUND, *EXPRESSIONS.values()]))
def test_what_is_left_of_an_injured_copy_without_its_faults_is_sound(made, scratch, seed, name):
    root = scratch / "copy"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(made, root)
    (root / name).write_bytes(mutated((root / name).read_bytes(), seed))
    layout = Layout.at(root, faults="skip")
    for split in layout.splits():
        try:
            annotations = open_annotations(layout, split, silent=True)
        except AnnotationError:
            continue  # a file as a whole that cannot be read
        for video in annotations:
            masks = annotations.masks(video)
            assert len(masks.foreground()) == len(video.frame_names)
            for expression in video.expressions:
                assert masks.of(expression).decode().shape == (len(video.frame_names), video.height, video.width)


def test_an_archive_of_nothing_is_missing(scratch):
    with pytest.raises(MissingFilesError):
        unpack.unpack(Layout.at(fresh(scratch)))
