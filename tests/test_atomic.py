"""Files that appear only when they are whole, whoever else writes them."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from revoskit import atomic
from revoskit.atomic import is_of_lock, remove_parts, replacing, sole_writer, storing, whole
from revoskit.errors import FolderInUseError, StorageError, UsageError


def test_two_writers_of_a_file_do_not_write_into_each_others(tmp_path):
    path = tmp_path / "shard.tar"
    with whole(path) as slow:
        slow.write(b"slow, ")
        with whole(path) as quick:
            quick.write(b"quick")
        assert path.read_bytes() == b"quick"
        slow.write(b"and whole")
    assert path.read_bytes() == b"slow, and whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_fails_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "card.md"
    path.write_text("old")
    with pytest.raises(TypeError), whole(path) as file:
        file.writelines([b"half", None])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_library_writes_to_a_name_beside_and_the_file_takes_its_place(tmp_path):
    path = tmp_path / "sheet.png"
    with replacing(path) as part:
        part.write_text("whole")
        assert part.parent == tmp_path
        assert not path.exists()
    assert path.read_text() == "whole"
    with pytest.raises(TypeError), replacing(path) as part:
        part.write_bytes("half")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_the_folder_of_a_file_is_made(tmp_path):
    with whole(tmp_path / "new" / "deep" / "file") as file:
        file.write(b"x")
    assert (tmp_path / "new" / "deep" / "file").read_bytes() == b"x"


# --- one writer at a time ---------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from revoskit.atomic import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has a folder to itself."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "folder")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_writer_is_told_who_writes(holder, tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "PATIENCE", 0.05)
    with pytest.raises(FolderInUseError) as refused, sole_writer(tmp_path / "folder"):
        pytest.fail("two writers")
    assert f"process {holder.pid} of host {socket.gethostname()} has been writing there since 2" in str(refused.value)
    assert refused.value.folder == str(tmp_path / "folder")


def test_a_writer_that_was_killed_is_in_nobodys_way(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    with sole_writer(tmp_path / "folder"):
        assert atomic._owner_of(tmp_path / "folder").process == os.getpid()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == [atomic.LOCK]


def test_a_second_writer_can_wait_and_says_so(holder, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(atomic, "PATIENCE", 0.05)
    threading.Timer(0.2, holder.stdin.close).start()
    with sole_writer(tmp_path / "folder", wait=True):
        assert f"process {holder.pid}" in caplog.text


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    ours = [tmp_path / "a.png.0123abcd.part", tmp_path / "deep" / "b.0a1b2c3d.part"]
    theirs = [tmp_path / "c.part", tmp_path / "deep" / "notes.0123abcd.partial"]
    (tmp_path / "deep").mkdir()
    for path in [*ours, *theirs]:
        path.touch()
    remove_parts(tmp_path)
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in theirs)


def test_a_file_cannot_be_a_folder_to_write_to(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"), sole_writer(tmp_path / "file"):
        pass


def test_what_a_lock_leaves_is_known_for_it(tmp_path):
    with sole_writer(tmp_path):
        assert all(is_of_lock(path.name) for path in tmp_path.iterdir())
    assert not is_of_lock("export.json")


# --- folders that cannot be written to --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_by_the_folder_that_was_written_to(tmp_path, number):
    with (
        pytest.raises(StorageError, match=f"^the disk of {re.escape(str(tmp_path))} is full: make room there"),
        sole_writer(tmp_path),
    ):
        raise OSError(number, "full")
    with (
        pytest.raises(StorageError, match=f"^the disk of {re.escape(str(tmp_path))} is full"),
        whole(tmp_path / "card.md"),
    ):
        raise OSError(number, "full")
    with pytest.raises(StorageError, match=r"^the disk of /other is full"), storing(tmp_path):
        raise OSError(number, "full", "/other/file")


def test_what_may_not_be_read_is_not_taken_for_a_folder_that_may_not_be_written_to(tmp_path):
    with pytest.raises(PermissionError, match="other"), storing(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied", "/other/file")
    with (
        pytest.raises(StorageError, match=re.escape(f"{tmp_path} may not be written to (Permission denied)")),
        storing(tmp_path),
    ):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "file"))


def test_the_folder_is_said_whatever_others_put_around_it(tmp_path):
    def fail():
        try:
            raise OSError(errno.ENOSPC, "full")
        except OSError as error:
            raise ValueError("something else") from error

    with pytest.raises(StorageError, match="is full") as raised, storing(tmp_path, ValueError):
        fail()
    seen, error = [], raised.value
    while error is not None:  # whoever walks the chain comes to an end
        assert error not in seen
        seen.append(error)
        error = error.__cause__ or error.__context__
