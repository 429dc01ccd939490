"""Which official files are there, told by checksum, and remembered."""

import json
import os

import pytest
from official_files import release

from revoskit.cli import main
from revoskit.dataset.layout import SHA256, TRACKS, Layout
from revoskit.errors import MissingFilesError
from revoskit.getting import checksums


@pytest.fixture
def root(tmp_path, monkeypatch):
    return release(tmp_path / "ReVOS", monkeypatch)


def states(found):
    return {file.name: file.state for file in found.files}


def test_official_files_are_told_as_such(root):
    found = checksums.verify(Layout.at(root))
    assert set(states(found).values()) == {"official"}
    assert found.all_official
    assert [(f.split, f.present, f.listed) for f in found.frames] == [
        ("train", 9, 9),
        ("validation", 3, 3),
        ("train_sub", 3, 3),
    ]


def test_a_file_of_the_first_release_is_told_from_an_unknown_one(root):
    (root / "meta_expressions_train_.json").write_bytes(b"old meta_expressions_train_.json")
    (root / "meta_expressions_valid_.json").write_bytes(b"{}")
    (root / TRACKS).unlink()
    found = checksums.verify(Layout.at(root))
    assert states(found)["meta_expressions_train_.json"] == "first release"
    assert states(found)["meta_expressions_valid_.json"] == "unknown"
    assert states(found)[TRACKS] == "missing"
    assert not found.all_official
    assert "is not valid JSON" in found.frames[0].problem  # told, and the other splits are counted all the same
    assert found.frames[2].listed == 3


def test_a_checksum_is_computed_once_as_long_as_the_file_stays_the_same(root, monkeypatch):
    layout = Layout.at(root)
    assert checksums.bytes_to_read(layout) == sum((root / name).stat().st_size for name in SHA256)
    checksums.verify(layout)
    assert checksums.bytes_to_read(layout) == 0
    read = []
    monkeypatch.setattr(checksums, "sha256", lambda path, progress: read.append(path.name) or "0" * 64)
    assert checksums.verify(layout).all_official
    assert read == []
    os.utime(root / TRACKS, ns=(1, 1))
    assert states(checksums.verify(layout))[TRACKS] == "unknown"
    assert read == [TRACKS]


def test_a_spoiled_memory_is_computed_anew(root, tmp_path):
    checksums.verify(Layout.at(root))
    memory = tmp_path / "hf-home" / "revoskit" / "sha256.json"
    assert memory.exists()
    memory.write_bytes(b'{"x": [1')
    assert checksums.verify(Layout.at(root)).all_official


def test_the_command_exits_with_0_only_where_all_that_is_there_is_official(root, capsys):
    (root / TRACKS).unlink()
    assert main(["verify", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"][1]["state"] == "missing"
    (root / TRACKS).write_bytes(b"{}")
    assert main(["verify", str(root)]) == 1
    assert "expected" in capsys.readouterr().out


def test_a_folder_without_any_official_file_verifies_nothing(tmp_path, root):
    (tmp_path / "empty").mkdir()
    assert not checksums.verify(Layout.at(tmp_path / "empty")).all_official
    with pytest.raises(MissingFilesError, match="is not a folder"):
        checksums.verify(Layout.at(tmp_path / "nowhere"))
