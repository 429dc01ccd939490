"""Archives of frames: whole, split, wrapped or a tar, sound or not; and none of them leads out of the root."""

import gzip
import io
import random
import shutil
import stat
import struct
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from official_files import split_archive, zip_frames

from revoskit.archives.index import open_archive
from revoskit.archives.zips import Pieces, read_directory
from revoskit.atomic import is_of_lock
from revoskit.cli import main
from revoskit.dataset.layout import FRAMES_ARCHIVE, FRAMES_FOLDER, TRACKS, Layout
from revoskit.errors import ArchiveError, MissingFilesError
from revoskit.getting import unpack
from revoskit.miniature import write_miniature


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "ReVOS"
    write_miniature(root, videos=4, frames=6, height=48, width=64)
    return root


@pytest.fixture
def here(tmp_path, made):
    """A root with the annotations alone."""
    (tmp_path / "here").mkdir()
    for path in made.glob("*.json"):
        shutil.copy(path, tmp_path / "here")
    return Layout.at(tmp_path / "here")


def files_below(folder: Path) -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if path.is_file() and not is_of_lock(path.name)]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def same_frames(here, made):
    return files_below(here.root / FRAMES_FOLDER) == files_below(made / FRAMES_FOLDER)


@pytest.mark.parametrize("annotations", [True, False], ids=["ids known", "ids unknown"])
@pytest.mark.parametrize("prefix", ["", "JPEGImages/", "ReVOS/JPEGImages/", "revos/", "./"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_frames_come_to_lie_in_their_place_whatever_the_root(here, made, prefix, annotations, compression):
    if not annotations:
        for path in here.root.glob("*.json"):
            path.unlink()
    zip_frames(made, here.root / FRAMES_ARCHIVE, prefix, compression)
    done = unpack.unpack(here, num_proc=1)
    assert (done.unpacked, done.already_there, done.damaged, done.left_out) == (24, 0, [], [])
    assert same_frames(here, made)


def test_a_folder_of_a_source_nobody_knows_is_found_by_the_ids(here, made):
    zip_frames(made, here.root / FRAMES_ARCHIVE, "some/where/else/")
    unpack.unpack(here, num_proc=1)
    assert same_frames(here, made)


def test_an_unpacking_that_broke_off_is_continued(here, made):
    zip_frames(made, here.root / FRAMES_ARCHIVE)
    unpack.unpack(here)
    frames = sorted((here.root / FRAMES_FOLDER).rglob("*.jpg"))
    frames[0].unlink()
    frames[1].write_bytes(frames[1].read_bytes()[:100])
    frames[2].rename(f"{frames[2]}.0123abcd.part")
    done = unpack.unpack(here)
    assert (done.unpacked, done.already_there) == (3, 21)
    assert same_frames(here, made)
    assert not list(here.root.rglob("*.part"))


def test_a_member_with_a_wrong_crc_is_not_unpacked_and_the_others_are(here, made):
    archive = here.root / FRAMES_ARCHIVE
    zip_frames(made, archive, compression=zipfile.ZIP_STORED)
    with zipfile.ZipFile(archive) as opened:
        victim = opened.infolist()[5]
    content = bytearray(archive.read_bytes())
    content[victim.header_offset + 200] ^= 1
    archive.write_bytes(content)
    done = unpack.unpack(here, delete=True)
    assert len(done.damaged) == 1
    assert victim.filename in done.damaged[0]
    assert "CRC" in done.damaged[0]
    assert done.unpacked == 23
    assert done.bytes == sum(map(len, files_below(here.root / FRAMES_FOLDER).values()))
    assert not (here.root / FRAMES_FOLDER / victim.filename).exists()
    assert archive.exists()  # --delete keeps what is not sound
    with pytest.raises(ArchiveError, match="1 members are damaged"):
        done.require_whole()
    assert main(["unpack", str(here.root)]) == 1


def test_the_archive_is_deleted_only_when_told(here, made):
    zip_frames(made, here.root / FRAMES_ARCHIVE)
    assert main(["unpack", str(here.root)]) == 0
    assert (here.root / FRAMES_ARCHIVE).exists()
    assert main(["unpack", str(here.root), "--delete"]) == 0
    assert not (here.root / FRAMES_ARCHIVE).exists()
    assert same_frames(here, made)


# --- split and wrapped ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["JPEGImages.zip", "revos.zip"])
def test_a_split_archive_is_unpacked_without_joining_it(here, made, name):
    zip_frames(made, here.root / name)
    split_archive(here.root / name, 4)
    assert len(list(here.root.glob("*.z0*"))) >= 3
    unpack.unpack(here)
    assert same_frames(here, made)


@pytest.mark.skipif(not shutil.which("zip"), reason="zip is not installed")
def test_what_zip_itself_split_is_unpacked(here, made):
    command = ["zip", "-q", "-r", "-s", "64k", str(here.root / FRAMES_ARCHIVE), "."]
    extra = made / FRAMES_FOLDER / "MOSE" / "noise"
    extra.mkdir(parents=True)
    try:
        (extra / "0.jpg").write_bytes(random.Random(0).randbytes(300_000))
        subprocess.run(command, cwd=made / FRAMES_FOLDER, check=True)
        assert (here.root / "JPEGImages.z02").exists()
        unpack.unpack(here)
        assert same_frames(here, made)
    finally:
        shutil.rmtree(extra)


def test_a_missing_part_is_told(here, made):
    zip_frames(made, here.root / FRAMES_ARCHIVE)
    split_archive(here.root / FRAMES_ARCHIVE, 4)
    (here.root / "JPEGImages.z02").unlink()
    with pytest.raises(ArchiveError, match=r"is the last of \d parts, and \d are here"):
        unpack.unpack(here)


def test_pieces_are_unpacked_without_joining_them(here, made):
    zip_frames(made, here.root / FRAMES_ARCHIVE)
    content = (here.root / FRAMES_ARCHIVE).read_bytes()
    (here.root / FRAMES_ARCHIVE).unlink()
    for i in range(3):
        (here.root / f"{FRAMES_ARCHIVE}.{i + 1:03d}").write_bytes(
            content[i * 20_000 : (i + 1) * 20_000 if i < 2 else None]
        )
    done = unpack.unpack(here, delete=True)
    assert same_frames(here, made)
    assert len(done.deleted) == 3


@pytest.mark.parametrize("names", [("001", "003"), ("002", "003"), ("aa", "ac"), ("ab", "ac")])
def test_a_missing_piece_is_told_before_anything_is_unpacked(here, made, names):
    zip_frames(made, here.root / FRAMES_ARCHIVE)
    content = (here.root / FRAMES_ARCHIVE).read_bytes()
    (here.root / FRAMES_ARCHIVE).unlink()
    (here.root / f"{FRAMES_ARCHIVE}.{names[0]}").write_bytes(content[:20_000])
    (here.root / f"{FRAMES_ARCHIVE}.{names[1]}").write_bytes(content[40_000:])
    with pytest.raises(ArchiveError, match=rf"a piece is missing.*{names[0]}.*{names[1]}"):
        unpack.unpack(here)
    assert not (here.root / FRAMES_FOLDER).exists()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_in_an_archive_is_unpacked(here, made, tmp_path, compression):
    zip_frames(made, tmp_path / "inner.zip")
    with zipfile.ZipFile(here.root / "revos.zip", "w", compression) as outer:
        outer.write(tmp_path / "inner.zip", f"ReVOS/{FRAMES_ARCHIVE}")
        outer.write(made / TRACKS, f"ReVOS/{TRACKS}")
        outer.writestr("ReVOS/README.md", "read me")
    (here.root / TRACKS).unlink()
    done = unpack.unpack(here)
    assert same_frames(here, made)
    assert (here.root / TRACKS).read_bytes() == (made / TRACKS).read_bytes()
    assert done.left_out == ["ReVOS/README.md"]
    assert {path.name for path in here.root.iterdir()} >= {"revos.zip", FRAMES_FOLDER, TRACKS}


def test_annotation_files_that_are_there_are_not_written_over(here, made):
    with zipfile.ZipFile(here.root / FRAMES_ARCHIVE, "w") as opened:
        opened.writestr("ReVOS/" + TRACKS, "{}")
        opened.writestr("__MACOSX/ReVOS/._x.jpg", "junk")
    done = unpack.unpack(here)
    assert (here.root / TRACKS).read_bytes() == (made / TRACKS).read_bytes()
    assert done.left_out == ["__MACOSX/ReVOS/._x.jpg"]


# --- tar --------------------------------------------------------------------------------------------------------------


def tar_frames(made: Path, archive: Path, mode: str = "w:gz", prefix: str = "revos/JPEGImages") -> None:
    with tarfile.open(archive, mode) as opened:
        opened.add(made / FRAMES_FOLDER, prefix)


@pytest.mark.parametrize(("name", "mode"), [("JPEGImages.tar.gz", "w:gz"), ("revos.tgz", "w:gz"), ("revos.tar", "w")])
def test_a_tar_is_unpacked_and_continued(here, made, name, mode):
    tar_frames(made, here.root / name, mode)
    assert unpack.unpack(here).unpacked == 24
    assert same_frames(here, made)
    next((here.root / FRAMES_FOLDER).rglob("*.jpg")).unlink()
    again = unpack.unpack(here)
    assert (again.unpacked, again.already_there) == (1, 23)


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.9999])
def test_a_tar_that_breaks_off_is_told(here, made, keep):
    archive = here.root / "JPEGImages.tar.gz"
    tar_frames(made, archive)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ArchiveError, match="is broken after"):
        unpack.unpack(here)
    assert files_below(here.root / FRAMES_FOLDER).items() <= files_below(made / FRAMES_FOLDER).items()


def test_a_gzip_with_a_wrong_crc_is_told(here, made):
    archive = here.root / "JPEGImages.tar.gz"
    tar_frames(made, archive)
    content = bytearray(archive.read_bytes())
    content[-6] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match="CRC"):
        unpack.unpack(here)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME], ids=repr)
@pytest.mark.parametrize("compressed", [True, False])
def test_a_header_of_gigabytes_is_refused_before_it_is_read(here, kind, compressed):
    header = tarfile.TarInfo("header")
    header.type, header.size = kind, 3 << 30
    content = header.tobuf(tarfile.USTAR_FORMAT) + bytes(20 * 512)
    archive = here.root / ("JPEGImages.tar.gz" if compressed else "JPEGImages.tar")
    archive.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(ArchiveError, match=rf"{archive.name}.*further headers of 3,221,225,472 bytes"):
        unpack.unpack(here)
    if not compressed:
        with pytest.raises(ArchiveError, match=rf"{archive.name}.*further headers of 3,221,225,472 bytes"):
            open_archive(str(archive))


def evil_tar(kind: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo("LV-VIS/train/1/00000.jpg")
    if kind == "climbs":
        info.name = "LV-VIS/../../../evil.jpg"
    elif kind == "absolute":
        info.name = "/tmp/evil.jpg"
    else:
        info.type = {
            "symlink": tarfile.SYMTYPE,
            "hard link": tarfile.LNKTYPE,
            "device": tarfile.CHRTYPE,
            "fifo": tarfile.FIFOTYPE,
        }[kind]
        info.linkname = "../../../../etc/passwd" if "link" in kind else ""
    return info


@pytest.mark.parametrize("kind", ["climbs", "absolute", "symlink", "hard link", "device", "fifo"])
def test_a_tar_member_that_must_not_be_unpacked_is_refused(here, kind):
    with tarfile.open(here.root / "JPEGImages.tar.gz", "w:gz") as opened:
        opened.addfile(evil_tar(kind), io.BytesIO())
    with pytest.raises(ArchiveError, match="must not be unpacked"):
        unpack.unpack(here)
    assert not (here.root / FRAMES_FOLDER).exists()


# --- what must not be unpacked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        ("LV-VIS/../../../evil.jpg", 0, "climbs out"),
        ("../evil.jpg", 0, "climbs out"),
        ("LV-VIS\\..\\..\\evil.jpg", 0, "climbs out"),
        ("/tmp/evil.jpg", 0, "absolute"),
        ("C:\\evil.jpg", 0, "absolute"),
        ("LV-VIS/train/1/0.jpg", stat.S_IFLNK | 0o777, "symbolic link"),
        ("LV-VIS/train/1/0.jpg", stat.S_IFCHR | 0o666, "device"),
        ("LV-VIS/train/1/0.jpg", stat.S_IFIFO | 0o666, "special file"),
    ],
)
def test_a_member_that_must_not_be_unpacked_is_refused_with_the_whole_archive(here, made, name, mode, reason):
    zip_frames(made, here.root / FRAMES_ARCHIVE)
    with zipfile.ZipFile(here.root / FRAMES_ARCHIVE, "a") as opened:
        info = zipfile.ZipInfo("x")
        info.filename, info.create_system, info.external_attr = name, 3, mode << 16
        opened.writestr(info, "/etc/passwd")
    before = files_below(here.root.parent)
    with pytest.raises(ArchiveError, match=reason):
        unpack.unpack(here)
    assert files_below(here.root.parent) == before
    assert main(["unpack", str(here.root)]) == 2


def test_two_members_that_would_become_one_file_are_refused(here):
    with zipfile.ZipFile(here.root / FRAMES_ARCHIVE, "w") as opened:
        opened.writestr("LV-VIS/train/01020/0.jpg", "a")
        opened.writestr("JPEGImages/LV-VIS/train/01020/0.jpg", "b")
    with pytest.raises(ArchiveError, match="would both become"):
        unpack.unpack(here)


def test_a_link_that_lies_in_the_way_is_not_followed(here, made, tmp_path):
    zip_frames(made, here.root / FRAMES_ARCHIVE)
    unpack.unpack(here)
    frame = next((here.root / FRAMES_FOLDER).rglob("*.jpg"))
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    frame.unlink()
    Path(f"{frame}.0123abcd.part").symlink_to(outside)
    unpack.unpack(here, num_proc=1)
    assert outside.read_bytes() == b"precious"
    assert same_frames(here, made)


def test_a_member_that_inflates_beyond_its_size_is_damaged_not_written(here):
    archive = here.root / FRAMES_ARCHIVE
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("LV-VIS/train/01020/0.jpg", bytes(50 << 20))
    content = archive.read_bytes().replace((50 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    archive.write_bytes(content)
    done = unpack.unpack(here)
    assert "expected 1,000" in done.damaged[0]
    assert files_below(here.root / FRAMES_FOLDER) == {}


def test_unpacking_that_would_fill_the_disk_is_not_begun(here, made, monkeypatch):
    zip_frames(made, here.root / FRAMES_ARCHIVE)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(ArchiveError, match="make room"):
        unpack.unpack(here)
    assert not (here.root / FRAMES_FOLDER).exists()


def test_an_archive_without_frames_is_told_and_not_deleted(here):
    with zipfile.ZipFile(here.root / FRAMES_ARCHIVE, "w") as opened:
        opened.writestr("readme.txt", "read me")
    with pytest.raises(ArchiveError, match=r"holds no frames.*readme\.txt"):
        unpack.unpack(here, delete=True)
    assert (here.root / FRAMES_ARCHIVE).exists()


@pytest.mark.parametrize("content", [b"", b"PK\5\6", b"<!DOCTYPE html>"])
def test_what_is_no_archive_is_told(here, content):
    (here.root / FRAMES_ARCHIVE).write_bytes(content)
    with pytest.raises(ArchiveError, match="is not a zip archive, or its end is missing"):
        unpack.unpack(here)


def test_an_archive_that_breaks_off_is_told(here, made):
    zip_frames(made, here.root / FRAMES_ARCHIVE)
    content = (here.root / FRAMES_ARCHIVE).read_bytes()
    (here.root / FRAMES_ARCHIVE).write_bytes(content[: len(content) // 2])
    with pytest.raises(ArchiveError, match="SHA-256"):
        unpack.unpack(here)


def test_without_an_archive_the_message_says_which_would_do(here):
    with pytest.raises(MissingFilesError, match=r"JPEGImages\.tar\.gz, revos\.zip"):
        unpack.unpack(here)


def test_pieces_read_across_their_borders(tmp_path):
    for name, content in [("a", b"abc"), ("b", b""), ("c", b"defgh")]:
        (tmp_path / name).write_bytes(content)
    pieces = Pieces.of([tmp_path / name for name in "abc"])
    assert pieces.read() == b"abcdefgh"
    assert pieces.read_at(2, 3) == b"cde"
    assert Pieces(pieces.cut(1, 4)).read() == b"bcde"
    with pytest.raises(OSError, match="seek"):
        pieces.seek(-1)


def test_a_zip64_locator_that_names_a_part_which_is_not_there_is_refused(tmp_path):
    locator = struct.pack("<4sIQI", b"PK\6\7", 99, 0, 2)
    last = locator + struct.pack("<4s4H2IH", b"PK\5\6", 1, 1, 1, 1, 0, 0, 0)
    for name, content in [("f.z01", bytes(40)), ("f.zip", last)]:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ArchiveError, match="part 100 of 2"):
        read_directory(Pieces.of([tmp_path / "f.z01", tmp_path / "f.zip"]))
