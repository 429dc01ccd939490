"""Archives read where they lie: any member, by any process, and an index that is made once."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import random
import struct
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from archive_reader import read_some
from hypothesis import given
from hypothesis import strategies as st

from revoskit.archives import index
from revoskit.archives.index import index_file, open_archive, stamp_of
from revoskit.archives.parts import find_archive, parts_of
from revoskit.errors import ArchiveError

CONTENTS = {
    "LV-VIS/train/1/00000.jpg": b"first",
    "LV-VIS/train/1/00001.jpg": random.Random(0).randbytes(3000),
    "LV-VIS/train/1/deeper/00000.jpg": b"",
    "LV-VIS/train/10/00000.jpg": b"ten" * 2000,
    "LV-VIS/train/1-b/00000.jpg": b"b",
    "über/ﬁ.jpg": b"u",
    "top.jpg": b"top",
}


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """Where indices are kept, for one test."""
    monkeypatch.setattr(index.constants, "HF_HOME", str(tmp_path / "hf"))
    index._opened.cache_clear()
    return tmp_path / "hf/revoskit"


def zipped(path: Path, contents=CONTENTS, compression=zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, contents=CONTENTS, format=tarfile.PAX_FORMAT, mode="w") -> Path:
    with tarfile.open(path, mode, format=format) as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


class Stream(io.RawIOBase):
    """What can only be written to, from start to end, so that lengths and CRCs follow what they are of."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def streamed(path: Path) -> Path:
    with Stream(path) as stream:
        zipped(stream)
    return path


def pieces(path: Path, size: int) -> Path:
    """Cut a file as `split` does; gives the last piece."""
    content = path.read_bytes()
    path.unlink()
    for number, start in enumerate(range(0, len(content), size)):
        piece = path.with_name(f"{path.name}.{number + 1:03d}")
        piece.write_bytes(content[start : start + size])
    return piece


def within(path: Path, compression=zipfile.ZIP_STORED) -> str:
    """The address of an archive that lies in another."""
    inner = zipped(path.with_name("inner.zip"))
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.write(inner, "ReVOS/JPEGImages.zip")
    inner.unlink()
    return f"zip://ReVOS/JPEGImages.zip::{path}"


ARCHIVES = {
    "stored": lambda folder: zipped(folder / "JPEGImages.zip"),
    "deflated": lambda folder: zipped(folder / "JPEGImages.zip", compression=zipfile.ZIP_DEFLATED),
    "streamed": lambda folder: streamed(folder / "JPEGImages.zip"),
    "in pieces": lambda folder: pieces(zipped(folder / "JPEGImages.zip"), 700),
    "within another": lambda folder: within(folder / "revos.zip"),
    "tar": lambda folder: tarred(folder / "JPEGImages.tar"),
    "GNU tar": lambda folder: tarred(folder / "JPEGImages.tar", format=tarfile.GNU_FORMAT),
    "tar in pieces": lambda folder: pieces(tarred(folder / "JPEGImages.tar"), 4000),
}


@pytest.fixture(params=ARCHIVES.values(), ids=list(ARCHIVES))
def address(request, tmp_path) -> str:
    return str(request.param(tmp_path))


def test_every_member_is_read_by_its_name_alone(address):
    archive = open_archive(address)
    assert len(archive) == len(CONTENTS)
    for name, content in CONTENTS.items():
        assert name in archive
        assert archive.read(name) == content
        assert archive.size(name) == len(content)


def test_a_folder_lists_what_lies_in_itself_and_not_below_or_beside(address):
    archive = open_archive(address)
    assert archive.names("LV-VIS/train/1") == ["00000.jpg", "00001.jpg"]
    assert archive.names("") == ["top.jpg"]
    assert archive.names("LV-VIS/train") == archive.names("nowhere") == []
    assert archive.folders == sorted({name.rpartition("/")[0] for name in CONTENTS})


def test_a_name_that_is_not_there_is_told(address):
    archive = open_archive(address)
    for name in ("LV-VIS/train/1/00002.jpg", "", "zzz", "LV-VIS/train/1/", "LV-VIS"):
        assert name not in archive
        with pytest.raises(ArchiveError, match="it is not among the 7 members"):
            archive.read(name)


def test_the_index_is_made_once_and_again_when_the_archive_changes(tmp_path, kept, monkeypatch):
    path = zipped(tmp_path / "JPEGImages.zip")
    made = []
    read = index.read_directory
    monkeypatch.setattr(index, "read_directory", lambda source: made.append(source.name) or read(source))
    for _ in range(3):
        index._opened.cache_clear()  # as another process
        assert open_archive(str(path)).read("top.jpg") == b"top"
    assert len(made) == 1
    assert [file.name for file in kept.iterdir()] == [index_file(str(path), stamp_of([path])).name]
    zipped(path, {"other.jpg": b"other"})
    assert open_archive(str(path)).read("other.jpg") == b"other"
    assert len(made) == 2
    assert [file.name for file in kept.iterdir()] == [index_file(str(path), stamp_of([path])).name]


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"junk", lambda c: b"", lambda c: c[:40]])
def test_an_index_that_is_damaged_is_made_anew(tmp_path, kept, damage):
    path = zipped(tmp_path / "JPEGImages.zip")
    open_archive(str(path))
    (file,) = kept.iterdir()
    whole = file.read_bytes()
    index._opened.cache_clear()
    file.unlink()
    file.write_bytes(damage(whole))
    assert open_archive(str(path)).read("top.jpg") == b"top"
    assert file.read_bytes() == whole


def test_where_no_index_can_be_kept_the_archive_is_read_all_the_same(tmp_path, kept):
    kept.parent.mkdir(parents=True)
    kept.write_text("a file where the folder ought to be")
    assert open_archive(str(zipped(tmp_path / "JPEGImages.zip"))).read("top.jpg") == b"top"


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_forked_and_spawned_processes_read_at_once(tmp_path, method):
    address = str(zipped(tmp_path / "JPEGImages.zip"))
    read_some(address, CONTENTS, 0)  # so that a fork inherits what is open
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=read_some, args=(address, CONTENTS, 1000 * i)) for i in range(2)]
    for worker in workers:
        worker.start()
    read_some(address, CONTENTS, 7)
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0


@pytest.mark.parametrize("by_position", [True, False], ids=["pread", "as on Windows"])
def test_threads_read_at_once(tmp_path, monkeypatch, by_position):
    if not by_position:
        monkeypatch.delattr(os, "pread")
    address = str(zipped(tmp_path / "JPEGImages.zip"))
    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(read_some, [address] * 8, [CONTENTS] * 8, range(8)))) == 8


# --- what is broken ---------------------------------------------------------------------------------------------------


@given(st.data())
def test_a_member_that_is_damaged_is_never_given_out(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    path = zipped(folder / "a.zip", compression=data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])))
    archive = open_archive(str(path))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    for name, right in CONTENTS.items():
        with contextlib.suppress(ArchiveError):
            assert archive.read(name) == right  # by the index from before


def test_a_header_may_be_longer_than_the_directory_lets_expect(tmp_path):
    """The local header has extra fields of its own: here 3,000 bytes more than the directory's."""
    path = zipped(tmp_path / "a.zip")
    info = zipfile.ZipInfo("long.jpg")
    info.extra = b"\x99\x99" + (2996).to_bytes(2, "little") + bytes(2996)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, b"content" * 50)
        info.extra = b""  # the directory is written when the archive is closed
    archive = open_archive(str(path))
    assert archive.read("long.jpg") == b"content" * 50


def test_an_archive_of_more_than_4_gb_is_read(tmp_path):
    """With the 64-bit positions of zip64, of a sparse file that takes hardly any room."""
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.seek(2**32 + 5)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("LV-VIS/train/1/00000.jpg", b"far behind")
    assert open_archive(str(path)).read("LV-VIS/train/1/00000.jpg") == b"far behind"


def test_a_tar_that_breaks_off_and_an_archive_that_is_none_are_told(tmp_path):
    path = tarred(tmp_path / "JPEGImages.tar")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ArchiveError, match=r"JPEGImages\.tar|has \d+ bytes, expected"):
        open_archive(str(path)).read("LV-VIS/train/1/00001.jpg")
    (tmp_path / "JPEGImages.zip").write_bytes(b"<html>not found</html>")
    with pytest.raises(ArchiveError, match="is not a zip archive, or its end is missing"):
        open_archive(str(tmp_path / "JPEGImages.zip"))


def test_a_member_that_claims_more_than_any_frame_has_is_not_read(tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", {"bomb.jpg": bytes(10_000)}, zipfile.ZIP_DEFLATED)
    archive = open_archive(str(path))
    monkeypatch.setattr(index, "MAX_MEMBER_BYTES", 9_999)
    with pytest.raises(ArchiveError, match="claims 10,000 bytes, which no frame has"):
        archive.read("bomb.jpg")


@pytest.mark.parametrize("place", ["size", "packed", "position"])
def test_numbers_of_64_bits_that_no_file_can_have_are_refused(tmp_path, place):
    numbers = {"size": 50, "packed": 50, "position": 0} | {place: 2**64 - 2}
    name, most = b"LV-VIS/train/00001/00000.jpg", 2**32 - 1
    extra = struct.pack("<HHQQQ", 1, 24, *numbers.values())
    local = b"PK\3\4" + struct.pack("<5H3I2H", 45, 0, 0, 0, 0, 0, most, most, len(name), 0) + name + bytes(50)
    sizes = struct.pack("<6H3I5H2I", 45, 45, 0, 0, 0, 0, 0, most, most, len(name), len(extra), 0, 0, 0, 0, most)
    directory = b"PK\1\2" + sizes + name + extra
    end = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 1, 1, len(directory), len(local), 0)
    (tmp_path / "JPEGImages.zip").write_bytes(local + directory + end)
    with pytest.raises(ArchiveError, match="more bytes than a file can have"):
        open_archive(str(tmp_path / "JPEGImages.zip"))


def test_what_cannot_be_read_at_random_says_so_and_what_to_do(tmp_path):
    path = tarred(tmp_path / "JPEGImages.tar.gz", mode="w:gz")
    with pytest.raises(ArchiveError, match=r"compressed as a whole, so that no frame of it .* `revoskit unpack"):
        open_archive(str(path))
    address = within(tmp_path / "revos.zip", zipfile.ZIP_DEFLATED)
    with pytest.raises(ArchiveError, match=r"compressed within revos\.zip, so that no frame of it .* `revoskit unpack"):
        open_archive(address)


def test_two_members_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.jpg", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.jpg", "2")
    with pytest.raises(ArchiveError, match=r"'x\.jpg' twice"):
        open_archive(str(tmp_path / "a.zip"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused_in_a_tar(tmp_path, kind):
    with tarfile.open(tmp_path / "JPEGImages.tar", "w") as archive:
        info = tarfile.TarInfo("x.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(ArchiveError, match="must not be unpacked"):
        open_archive(str(tmp_path / "JPEGImages.tar"))


# --- which files an archive is of -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["JPEGImages.zip", "revos.zip"], ["JPEGImages.zip"]),
        (["JPEGImages.zip", "JPEGImages.zip.001"], ["JPEGImages.zip"]),
        (
            ["JPEGImages.z10", "JPEGImages.z09", "JPEGImages.zip"],
            ["JPEGImages.z09", "JPEGImages.z10", "JPEGImages.zip"],
        ),
        (["JPEGImages.tar.aa", "JPEGImages.tar.ab"], ["JPEGImages.tar.aa", "JPEGImages.tar.ab"]),
        (["revos.zip.001", "revos.zip.002", "other.zip.003"], ["revos.zip.001", "revos.zip.002"]),
        (["JPEGImages.zip.part", "JPEGImages.rar", "my-JPEGImages.zip"], []),
    ],
)
def test_the_archive_of_frames_and_its_parts_are_found(tmp_path, names, expected):
    for name in names:
        (tmp_path / name).touch()
    found = find_archive(tmp_path)
    assert [path.name for path in found] == expected
    assert not found or parts_of(found[-1]) == found
