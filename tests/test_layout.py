"""A copy of the dataset is found however its folder is spelled, and names from its files stay inside it."""

import os

import pytest

from revoskit.dataset.layout import SHA256, SHA256_FIRST_RELEASE, TRACKS, Layout, check_file_stem, check_relative
from revoskit.dataset.records import Video
from revoskit.errors import AnnotationError, MissingFilesError, UsageError


def test_a_folder_is_the_same_however_it_is_spelled(miniature, monkeypatch):
    monkeypatch.chdir(miniature.root.parent)
    monkeypatch.setenv("HOME", str(miniature.root.parent))
    spelled = [miniature.root, str(miniature.root) + "/", "ReVOS", "./ReVOS/../ReVOS", "~/ReVOS"]
    assert {Layout.at(root) for root in spelled} == {Layout.at(miniature.root)}


def test_the_environment_names_the_folder_where_nobody_does(miniature, monkeypatch):
    monkeypatch.setenv("REVOS_ROOT", str(miniature.root))
    assert Layout.at() == Layout.at(miniature.root)
    monkeypatch.delenv("REVOS_ROOT")
    with pytest.raises(UsageError, match=r"data_dir=.*REVOS_ROOT.*sharepoint"):
        Layout.at()


def test_missing_files_are_listed_all_at_once_with_where_to_get_them(tmp_path):
    with pytest.raises(MissingFilesError, match=r"mask_dict\.json, meta_expressions_train_\.json.*sharepoint"):
        Layout.at(tmp_path).require()
    with pytest.raises(FileNotFoundError, match="not a folder"):
        Layout.at(tmp_path / "nowhere").require()


def test_splits_without_their_file_are_left_out(own_miniature):
    layout = Layout.at(own_miniature.root)
    assert layout.splits() == ["train", "validation", "train_sub"]
    layout.split("train").expressions.unlink()
    assert layout.splits() == ["validation", "train_sub"]
    with pytest.raises(UsageError, match="no split 'test'"):
        layout.split("test")


@pytest.mark.parametrize("folder", ["JPEGImages", ""])
def test_frames_are_found_under_both_roots(folder, tmp_path):
    from revoskit.miniature import write_miniature

    write_miniature(tmp_path, videos=1, frames=2, height=16, width=16, frames_folder=folder)
    video = Video("LV-VIS/train/01020", 1, 1, ("00000", "00001", "00002"), ())
    frames = Layout.at(tmp_path).split("train").frames(video)
    assert [frame and os.path.exists(frame.path) for frame in frames] == [True, True, None]


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights there")
@pytest.mark.parametrize("target", ["loop", "nowhere"])
def test_frames_behind_a_link_that_leads_nowhere_are_missing(target, tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "JPEGImages/loop").symlink_to(target)
    video = Video("loop", 4, 6, ("00000",), ())
    assert Layout.at(tmp_path).split("train").missing_frames(video) == ["00000"]


@pytest.mark.parametrize("name", ["../x", "a/../b", "/etc", "", "a//b", "a/", "C:/x", "a\\b", "a\0b", ".", "./a"])
def test_a_name_that_could_lead_elsewhere_is_refused(name):
    with pytest.raises(AnnotationError, match="plain relative path"):
        check_relative(name, "video id")


def test_real_ids_are_plain():
    for name in ["UVO/all/-CiPki3XuVI", "LV-VIS/train/01020", "TAO/train/YFCC100M/v_25685519b728afd746dfd1b2fe77c"]:
        check_relative(name, "video id")
    with pytest.raises(AnnotationError, match="slash"):
        check_file_stem("a/b", "frame")


def test_checksums_are_whole_and_the_first_release_differs_only_in_the_expressions():
    assert all(len(sha) == 64 and int(sha, 16) for table in (SHA256, SHA256_FIRST_RELEASE) for sha in table.values())
    changed = {name for name in SHA256 if SHA256[name] != SHA256_FIRST_RELEASE[name]}
    assert len(SHA256) == 6
    assert len(changed) == 3
    assert all(name.startswith("meta_expressions") for name in changed)
    assert TRACKS in SHA256
