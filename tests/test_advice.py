"""What errors say of a copy that is elsewhere, or named otherwise, than where it was looked for."""

from __future__ import annotations

import shutil
import sys

import pytest
from datasets import load_dataset

import revos
from revoskit.cli import main
from revoskit.dataset.layout import EXPRESSIONS, FRAMES_FOLDER, Layout
from revoskit.errors import MissingFilesError, UsageError
from revoskit.miniature import write_miniature


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    root = tmp_path_factory.mktemp("advice") / "ReVOS"
    write_miniature(root, videos=1, frames=3)
    return root


@pytest.fixture
def root(original, tmp_path):
    return shutil.copytree(original, tmp_path / "data" / "ReVOS")


@pytest.mark.parametrize("spelled", ["..", "JPEGImages", "JPEGImages/LV-VIS", "../revos"])
def test_a_folder_too_high_or_too_low_or_in_other_letters_names_the_right_one(root, spelled):
    if spelled == "../revos" and (root.parent / "revos").exists():
        pytest.skip("this file system takes upper and lower case for the same")
    with pytest.raises(MissingFilesError, match="Did you mean ") as caught:
        Layout.at(root / spelled).require()
    assert f"Did you mean {root}" in str(caught.value)


@pytest.mark.parametrize("command", ["check", "verify"])
@pytest.mark.parametrize("below", ["..", FRAMES_FOLDER])
def test_the_commands_that_take_any_folder_name_the_right_one_too(root, command, below, capsys):
    assert main([command, str(root / below)]) == 1
    assert f"Did you mean {root}" in capsys.readouterr().out


def test_nothing_is_meant_where_nothing_is_near(tmp_path):
    with pytest.raises(MissingFilesError) as caught:
        Layout.at(tmp_path / "a" / "b" / "c").require()
    assert "Did you mean" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="there it is a path")
def test_a_windows_path_elsewhere_is_told_to_be_one():
    with pytest.raises(MissingFilesError, match="a path as Windows writes it"):
        Layout.at("C:\\data\\ReVOS").require()


@pytest.mark.parametrize(("suffix", "advice"), [(".JPG", "rename such files"), (".png", "frames are JPEG files")])
def test_frames_with_another_ending_are_named(root, suffix, advice):
    for frame in (root / FRAMES_FOLDER).rglob("*.jpg"):
        frame.rename(frame.with_suffix(suffix))
    if next((root / FRAMES_FOLDER).rglob("*.jpg"), None):
        pytest.skip("this file system takes upper and lower case for the same")
    with pytest.raises(MissingFilesError, match=f"has 00000{suffix} where 00000.jpg is expected.*{advice}"):
        load_dataset(revos.NAME, data_dir=str(root), cache_dir=str(root.parent / "cache"))


@pytest.mark.parametrize(("typed", "meant"), [("missing_frame", "missing_frames"), ("decode", "decode_frames")])
def test_a_mistyped_option_is_told_the_one_that_was_meant(root, typed, meant):
    with pytest.raises(UsageError, match=f"no option '{typed}': did you mean '{meant}'") as caught:
        load_dataset(revos.NAME, data_dir=str(root), **{typed: True})
    assert "RevosConfig(" not in str(caught.value)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_mistyped_split_is_told_the_one_that_was_meant(root, streaming):
    options = {"data_dir": str(root), "cache_dir": str(root.parent / "cache"), "streaming": streaming}
    with pytest.raises(UsageError, match="no split 'valid': did you mean 'validation'"):
        load_dataset(revos.NAME, split="valid", **options)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("content", [None, '{"videos": {}}'])
@pytest.mark.filterwarnings("ignore:.*left out")
def test_a_split_without_rows_says_so_where_it_is_asked_for(root, content, streaming):
    file = root / EXPRESSIONS["validation"]
    file.unlink()
    if content is not None:
        file.write_text(content)
    options = {"data_dir": str(root), "cache_dir": str(root.parent / "cache"), "streaming": streaming}
    with pytest.raises(MissingFilesError, match="the split 'validation' has no rows"):
        load_dataset(revos.NAME, split="validation", **options)
    assert len(list(load_dataset(revos.NAME, split="train", **options))) > 0


def test_unpacking_again_after_the_archive_was_deleted_says_that_all_is_there(root, capsys):
    shutil.make_archive(str(root / FRAMES_FOLDER), "zip", root / FRAMES_FOLDER)
    shutil.rmtree(root / FRAMES_FOLDER)
    assert main(["unpack", str(root), "--delete", "--num-proc", "1"]) == 0
    capsys.readouterr()
    assert main(["unpack", str(root), "--num-proc", "1"]) == 0
    assert "and no archive is needed" in capsys.readouterr().out
    next((root / FRAMES_FOLDER).rglob("*.jpg")).unlink()
    assert main(["unpack", str(root)]) == 2


def test_a_folder_that_was_published_is_told_to_load_without_us(root, tmp_path):
    assert main(["publish", str(root), "-o", str(tmp_path / "published"), "--frames", "none"]) == 0
    with pytest.raises(MissingFilesError, match=r"Parquet files, .* load_dataset\('.*published', 'expressions'\)"):
        load_dataset(revos.NAME, data_dir=str(tmp_path / "published"), cache_dir=str(tmp_path / "cache"))


def test_the_options_that_are_listed_are_those_that_a_user_may_write(root):
    with pytest.raises(UsageError) as caught:
        revos.Revos(data_dir=str(root), nonsense=1)
    listed = str(caught.value).rpartition("The options are ")[2].rstrip(".").split(", ")
    assert {"data_dir", "faults", "splits", "alignment"} <= set(listed)
    assert not {"state", "data_files", "version", "description", "token"} & set(listed)
