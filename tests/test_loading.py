"""`load_dataset("revos")` and the builder, as a user of `datasets` meets them; also run on the oldest version."""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from unittest.mock import Mock

import datasets
import multiprocess
import numpy as np
import pyarrow as pa
import pytest
from datasets import DownloadMode, get_dataset_config_names, get_dataset_split_names, load_dataset, load_dataset_builder
from packaging.version import Version
from PIL import Image
from pycocotools import mask as coco

import revos
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import EXPRESSIONS, TRACKS, Layout
from revoskit.errors import (
    AnnotationError,
    FrameError,
    JsonError,
    MissingFilesError,
    RevosError,
    StorageError,
    UsageError,
)

REPOSITORY = Path(revos.__file__).parent


@pytest.fixture
def cache(tmp_path) -> str:
    return str(tmp_path / "cache")


def expected_rows(root, split):
    """The rows of the config `expressions`, straight from the JSON and from nothing of ours."""
    for video_id, video in json.loads((root / EXPRESSIONS[split]).read_text(encoding="utf-8"))["videos"].items():
        for expression_id, entry in video["expressions"].items():
            yield {
                "video_id": video_id,
                "expression_id": expression_id,
                "expression": entry["exp"],
                "expression_type": entry["type_id"],
                "height": video["height"],
                "width": video["width"],
                "frame_names": video["frames"],
                "object_ids": entry["obj_id"],
                "annotation_ids": entry["anno_id"],
            }


@pytest.mark.parametrize("num_proc", [None, 2])
def test_expressions_hold_what_the_files_say(miniature, cache, num_proc):
    loaded = load_dataset("revos", data_dir=str(miniature.root), cache_dir=cache, num_proc=num_proc)
    assert list(loaded) == ["train", "validation", "train_sub"]
    for split, rows in loaded.items():
        plain = rows.remove_columns(["frames", "masks"])
        assert list(plain) == list(expected_rows(miniature.root, split))
        for row in rows:
            wanted = np.zeros((row["height"], row["width"], len(row["frame_names"])), bool)
            for i in row["annotation_ids"]:
                wanted |= miniature.pixels[i].transpose(1, 2, 0)
            assert (coco.decode(row["masks"]) == wanted).all()
            assert [Path(frame["path"]).stem for frame in row["frames"]] == row["frame_names"]
            assert all(frame["bytes"] is None and os.path.isfile(frame["path"]) for frame in row["frames"])


def test_videos_hold_tracks_verbatim_in_order_with_every_expression(miniature, cache):
    tracks = json.loads((miniature.root / TRACKS).read_text())
    for split, rows in load_dataset("revos", "videos", data_dir=str(miniature.root), cache_dir=cache).items():
        by_video = {}
        for row in expected_rows(miniature.root, split):
            by_video.setdefault(row["video_id"], []).append(row)
        assert rows["video_id"][:] == list(by_video)
        for row in rows:
            wanted = by_video[row["video_id"]]
            named = sorted({i for expression in wanted for i in expression["annotation_ids"]})
            assert [track["annotation_id"] for track in row["tracks"]] == named
            for track in row["tracks"]:
                assert track["masks"] == tracks[str(track["annotation_id"])]
                assert track["object_id"] == track["annotation_id"] % 10
            for expression, want in zip(row["expressions"], wanted, strict=True):
                assert expression == {key: want[key] for key in expression}
            union = np.any([miniature.pixels[i] for i in named], axis=0)
            assert (coco.decode(row["foreground"]) == union.transpose(1, 2, 0)).all()


def test_frames_come_as_pictures_when_asked_for(miniature, cache):
    rows = load_dataset("revos", data_dir=str(miniature.root), cache_dir=cache, decode_frames=True, split="train_sub")
    row = rows[0]
    assert row["frames"][0].size == (row["width"], row["height"])
    plain = load_dataset("revos", data_dir=str(miniature.root), cache_dir=cache, split="train_sub")
    assert set(plain[0]["frames"][0]) == {"path", "bytes"}


@pytest.mark.parametrize("config", ["expressions", "videos"])
def test_streaming_gives_the_rows_that_loading_gives(miniature, cache, config):
    options = {"data_dir": str(miniature.root), "split": "validation", "cache_dir": cache}
    stream = load_dataset("revos", config, streaming=True, **options)
    assert list(stream) == list(load_dataset("revos", config, **options))
    assert stream.n_shards == 4, "a shard per video, so that workers can share them out"


def test_both_roots_load(tmp_path, cache):
    from revoskit.miniature import write_miniature

    rows = {}
    for folder in ("JPEGImages", ""):
        root = write_miniature(tmp_path / (folder or "direct"), videos=4, frames=3, frames_folder=folder).root
        rows[folder] = load_dataset("revos", data_dir=str(root), cache_dir=cache, split="train")
        assert Path(rows[folder][0]["frames"][0]["path"]) == root / folder / "LV-VIS/train/01020/00000.jpg"
    assert rows[""].remove_columns("frames")[:] == rows["JPEGImages"].remove_columns("frames")[:]


def test_the_builder_alone_does_the_same_without_registration(miniature, cache):
    builder = revos.Revos(data_dir=str(miniature.root), cache_dir=cache)
    builder.download_and_prepare()
    assert builder.cache_dir == load_dataset_builder("revos", data_dir=str(miniature.root), cache_dir=cache).cache_dir
    assert (
        builder.as_dataset("train")[:]
        == load_dataset("revos", data_dir=str(miniature.root), cache_dir=cache, split="train")[:]
    )


def test_the_dataset_can_be_inspected_without_data():
    assert get_dataset_config_names("revos") == ["expressions", "videos"]
    builder = load_dataset_builder("revos")
    assert builder.config.name == "expressions"
    assert "CC BY-NC-SA" in builder.info.license or "by-nc-sa" in builder.info.license
    assert builder.info.features["expression_type"].names == ["referring", "reasoning", "nonexistent"]
    assert builder.info.citation.startswith("@article{yan2024visa")


def test_splits_can_be_inspected(miniature):
    assert get_dataset_split_names("revos", data_dir=str(miniature.root)) == ["train", "validation", "train_sub"]


def test_features_are_standard_so_that_files_open_without_this_package(miniature, cache, tmp_path):
    load_dataset("revos", data_dir=str(miniature.root), cache_dir=cache, split="train").to_parquet(
        tmp_path / "x.parquet"
    )
    code = (
        "import sys, datasets; rows = datasets.Dataset.from_parquet(sys.argv[1]); "
        "print(rows[0]['expression'], rows.features['expression_type'].names, 'revoskit' in sys.modules)"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "x.parquet")]
    output = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert output.strip().endswith("['referring', 'reasoning', 'nonexistent'] False")


def built(monkeypatch) -> list:
    """A list that grows by one with every split that is built from here on."""
    made = []
    original = revos.Revos._prepare_split
    monkeypatch.setattr(revos.Revos, "_prepare_split", lambda *a, **k: made.append(1) or original(*a, **k))
    return made


def test_whoever_asks_for_decoded_frames_of_long_rows_is_warned_once(own_miniature, cache, monkeypatch):
    options = {"data_dir": str(own_miniature.root), "cache_dir": cache}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_dataset("revos", decode_frames=True, **options)
    most = 3 * 4 * 36 * 64
    monkeypatch.setattr(revos, "LONG_ROW_BYTES", most - 1)
    for config in ("expressions", "videos"):
        with pytest.warns(UserWarning, match=r"(?s)decode_frames=True: the longest row .*docs/subsets.md") as caught:
            load_dataset("revos", config, decode_frames=True, **options)
        assert len(caught) == 1
    with pytest.warns(UserWarning, match="decode_frames"):
        load_dataset("revos", decode_frames=True, split="validation[:1]", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_dataset("revos", **options)
        load_dataset("revos", decode_frames=True, streaming=True, **options)
        monkeypatch.setattr(revos, "LONG_ROW_BYTES", most)
        load_dataset("revos", decode_frames=True, **options)


def test_the_second_load_reuses_the_cache_however_the_folder_is_spelled(own_miniature, cache, monkeypatch):
    root = own_miniature.root
    load_dataset("revos", data_dir=str(root), cache_dir=cache)
    monkeypatch.chdir(root.parent)
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.setenv("REVOS_ROOT", str(root))
    made = built(monkeypatch)
    for spelled in (str(root), f"{root}/", "ReVOS", "./ReVOS/", "~/ReVOS", None):
        load_dataset("revos", data_dir=spelled, cache_dir=cache)
    assert made == []


def test_another_process_reuses_the_cache(own_miniature, cache):
    load_dataset("revos", data_dir=str(own_miniature.root), cache_dir=cache)
    code = (
        "import sys, revos; revos.Revos._generate_examples = None\n"
        "from datasets import load_dataset; print(load_dataset('revos', data_dir='ReVOS', cache_dir=sys.argv[1]))"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    arguments = [sys.executable, "-c", code, cache]
    result = subprocess.run(arguments, capture_output=True, text=True, cwd=own_miniature.root.parent, env=environment)
    assert "train_sub" in result.stdout, result.stderr


def test_a_changed_annotation_file_is_built_anew(own_miniature, cache, edit_json):
    options = {"data_dir": str(own_miniature.root), "cache_dir": cache, "split": "train"}
    before = load_dataset("revos", **options)
    edit_json(own_miniature.root / EXPRESSIONS["train"], lambda content: content["videos"].popitem())
    after = load_dataset("revos", **options)
    assert len(after) < len(before)


@pytest.mark.parametrize("faulty", [False, True], ids=["sound", "beside a video that is none"])
def test_a_frame_of_another_size_is_noticed_where_the_file_does_not_say_the_size(
    own_miniature, cache, edit_json, faulty
):
    def without_size(content):
        video_id, video = next(iter(content["videos"].items()))
        absent = {"exp": "the unicorn", "obj_id": [], "anno_id": [], "type_id": 2}
        content["videos"] = {video_id: {"frames": video["frames"], "expressions": {"0": absent}}}
        if faulty:
            content["videos"]["none"] = []

    edit_json(own_miniature.root / EXPRESSIONS["train"], without_size)
    options = {"data_dir": str(own_miniature.root), "cache_dir": cache, "splits": ["train"], "split": "train"}
    options |= {"missing_frames": "keep"} if not faulty else {"faults": "skip"}
    (row,) = load_dataset("revos", **options)
    for frame in row["frames"]:
        Image.new("RGB", (64, 32)).save(frame["path"])  # in place: the folder does not change
    (row,) = load_dataset("revos", **options)
    assert (row["height"], row["width"]) == (32, 64)


def test_changed_code_is_built_anew(tmp_path):
    for name in ("revos.py", "revoskit"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    code = """
import sys, revos
print(revos.CODE_HASH)
with open("revoskit/dataset/columns.py", "a") as file:
    file.write("# a change")
for name in [name for name in sys.modules if name.partition(".")[0] in ("revos", "revoskit")]:
    del sys.modules[name]
import revos
print(revos.CODE_HASH)
"""
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    arguments = [sys.executable, "-c", code]
    run = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    assert len(set(run.stdout.split())) == 2


def test_no_file_is_matched_to_find_the_builder(miniature, cache, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("looked through the files of data_dir or of the working directory")

    monkeypatch.setattr(datasets.load, "get_data_patterns", refuse)
    monkeypatch.setattr(datasets.data_files.DataFilesDict, "from_patterns", refuse)
    assert len(load_dataset("revos", data_dir=str(miniature.root), cache_dir=cache)["train"]) == 22


def test_other_packaged_builders_still_work(tmp_path, cache):
    (tmp_path / "x.json").write_text('{"a": 1}\n')
    assert load_dataset("json", data_files=str(tmp_path / "x.json"), cache_dir=cache)["train"][0] == {"a": 1}


def test_importing_twice_changes_nothing(miniature, cache):
    import importlib

    importlib.reload(revos)
    assert get_dataset_config_names("revos") == ["expressions", "videos"]


@pytest.mark.parametrize(
    "lacking",
    [
        (datasets.load, "PackagedDatasetModuleFactory"),
        (datasets.load, "DatasetModule"),
        (datasets.packaged_modules, "_PACKAGED_DATASETS_MODULES"),
    ],
)
def test_a_version_that_keeps_its_builders_elsewhere_is_told_apart_with_the_public_way(monkeypatch, lacking):
    monkeypatch.delattr(*lacking)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        revos._make_known()
    assert "revos.Revos(data_dir=...)" in str(caught[0].message)


@pytest.mark.skipif(Version(datasets.__version__) >= Version("4"), reason="loading scripts were removed in 4.0")
def test_the_file_also_loads_as_a_script(miniature, cache):
    path = str(REPOSITORY / "revos.py")
    rows = load_dataset(path, data_dir=str(miniature.root), cache_dir=cache, trust_remote_code=True, split="train")
    assert len(rows) == 22


# --- what can be wrong ------------------------------------------------------------------------------------------------


def nothing_half_built(cache):
    files = [path for path in Path(cache).rglob("*") if path.is_file() and path.suffix != ".lock"]
    return not [path for path in files if not path.name.startswith("left-out-")]


def test_without_a_folder_the_error_says_how_to_name_one(cache):
    with pytest.raises(UsageError, match=r"data_dir=.*REVOS_ROOT"):
        load_dataset("revos", cache_dir=cache)


def test_a_folder_without_the_files_lists_them_and_where_to_get_them(tmp_path, cache):
    with pytest.raises(MissingFilesError, match=r"mask_dict.json, meta_expressions_train_.json.*sharepoint"):
        load_dataset("revos", data_dir=str(tmp_path), cache_dir=cache)


def test_data_files_are_answered_with_what_to_pass_instead(miniature, cache):
    with pytest.raises(UsageError, match="data_dir"):
        load_dataset("revos", data_files=str(miniature.root / TRACKS), cache_dir=cache)


@pytest.mark.parametrize("config", ["expressions", "videos"])
@pytest.mark.parametrize("num_proc", [None, 2])
def test_bad_masks_stop_the_build_with_one_clear_error_and_leave_nothing(
    own_miniature, cache, edit_json, num_proc, config
):
    def spoil(content):
        content["3003011"][1]["counts"] += "00"

    edit_json(own_miniature.root / TRACKS, spoil)
    with pytest.raises(RevosError, match=r"track 3003011 of video 'UVO/all/-CiPki3XuVI', frame '00005'") as error:
        load_dataset("revos", config, data_dir=str(own_miniature.root), cache_dir=cache, num_proc=num_proc)
    assert isinstance(error.value, AnnotationError)
    assert nothing_half_built(cache)


def test_a_repaired_copy_builds_after_a_failure(own_miniature, cache, edit_json):
    good = (own_miniature.root / TRACKS).read_bytes()
    edit_json(own_miniature.root / TRACKS, lambda content: content.popitem())
    with pytest.raises(AnnotationError):
        load_dataset("revos", data_dir=str(own_miniature.root), cache_dir=cache)
    (own_miniature.root / TRACKS).write_bytes(good)
    assert load_dataset("revos", data_dir=str(own_miniature.root), cache_dir=cache)["train"]


def remove_frames(root):
    folder = root / "JPEGImages" / "UVO/all/-CiPki3XuVI"
    (folder / "00005.jpg").unlink()
    (folder / "00015.jpg").unlink()


def spoil_track(root, edit_json):
    edit_json(root / TRACKS, lambda content: next(iter(content.values())).pop())


def spoil_expression(root, edit_json):
    edit_json(root / EXPRESSIONS["train"], lambda d: next(iter(d["videos"].values())).update(frames=[]))


def spoil_json(root, edit_json):
    (root / TRACKS).write_bytes((root / TRACKS).read_bytes()[:-1])


def remove_frame(root, edit_json):
    next((root / "JPEGImages" / "UVO/all/-CiPki3XuVI").glob("*.jpg")).unlink()


def remove_tracks(root, edit_json):
    (root / TRACKS).unlink()


@pytest.mark.parametrize("spoil", [spoil_track, spoil_expression, spoil_json, remove_frame, remove_tracks])
@pytest.mark.parametrize("options", [{}, {"num_proc": 2}, {"streaming": True}], ids=["plain", "num_proc", "streaming"])
def test_whoever_walks_the_chain_of_an_error_comes_to_its_end(own_miniature, cache, edit_json, spoil, options):
    spoil(own_miniature.root, edit_json)
    with pytest.raises(RevosError) as raised:
        list(load_dataset("revos", data_dir=str(own_miniature.root), cache_dir=cache, split="train", **options))
    error, seen = raised.value, []
    while error is not None:
        assert all(error is not one for one in seen)
        seen.append(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("streaming", [False, True])
def test_missing_frames_are_counted_and_the_first_named(own_miniature, cache, streaming):
    remove_frames(own_miniature.root)
    with pytest.raises(
        MissingFilesError, match=r"train: 2 of 12 frames, in 1 of 3 videos: UVO/all/-CiPki3XuVI/00005.jpg"
    ) as error:
        load_dataset("revos", data_dir=str(own_miniature.root), cache_dir=cache, streaming=streaming)
    assert "faults='skip'" in str(error.value)
    assert "Put JPEGImages.zip into" in str(error.value)
    assert nothing_half_built(cache)


def test_videos_that_lack_frames_can_be_left_out(own_miniature, cache):
    remove_frames(own_miniature.root)
    options = {"data_dir": str(own_miniature.root), "cache_dir": cache, "split": "train"}
    with pytest.warns(UserWarning, match="has left 1 video out of .* frame-missing: train"):
        rows = load_dataset("revos", "videos", faults="skip", **options)
    assert rows["video_id"][:] == ["LV-VIS/train/01020", "MOSE/train/a1b2c3d4"]


def test_a_split_without_a_whole_video_is_left_out_with_a_word(own_miniature, cache):
    shutil.rmtree(own_miniature.root / "JPEGImages" / "OVIS")
    options = {"data_dir": str(own_miniature.root), "cache_dir": cache}
    with pytest.warns(UserWarning, match="validation is left out: something is wrong with each of its videos"):
        loaded = load_dataset("revos", "videos", faults="skip", **options)
    assert list(loaded) == ["train", "train_sub"]


def test_a_file_without_videos_is_left_out_with_a_word(own_miniature, cache, edit_json):
    edit_json(own_miniature.root / EXPRESSIONS["train_sub"], lambda content: content["videos"].clear())
    with pytest.warns(UserWarning, match="train_sub is left out: .*meta_expressions_train_sub_.json has no videos"):
        loaded = load_dataset("revos", data_dir=str(own_miniature.root), cache_dir=cache)
    assert list(loaded) == ["train", "validation"]


@pytest.mark.parametrize("faults", ["error", "skip"])
def test_a_split_without_expressions_has_videos_alone_and_is_left_out_with_a_word(
    own_miniature, cache, edit_json, faults
):
    def clear(content):
        for video in content["videos"].values():
            video["expressions"] = {}

    edit_json(own_miniature.root / EXPRESSIONS["train_sub"], clear)
    options = {"data_dir": str(own_miniature.root), "cache_dir": cache, "faults": faults}
    with pytest.warns(UserWarning, match="train_sub is left out: its videos have no expressions that could be loaded"):
        assert list(load_dataset("revos", **options)) == ["train", "validation"]
    assert "train_sub" in load_dataset("revos", "videos", **options)


def test_a_copy_of_which_nothing_is_left_is_an_error(own_miniature, cache):
    shutil.rmtree(own_miniature.root / "JPEGImages")
    options = {"data_dir": str(own_miniature.root), "cache_dir": cache, "faults": "skip"}
    with pytest.raises(
        MissingFilesError, match=r"(?s)nothing to load:.*train is left out.*JPEGImages.*missing_frames='keep'"
    ):
        load_dataset("revos", **options)
    assert nothing_half_built(cache)


def test_missing_frames_can_be_kept_as_null(own_miniature, cache):
    remove_frames(own_miniature.root)
    options = {"data_dir": str(own_miniature.root), "cache_dir": cache, "split": "train"}
    rows = load_dataset("revos", "videos", missing_frames="keep", **options)
    assert [frame is None for frame in rows[1]["frames"]] == [False, True, False, True]
    pictures = load_dataset("revos", "videos", missing_frames="keep", decode_frames=True, **options)
    assert pictures[1]["frames"][1] is None


def test_frames_that_come_back_are_seen(own_miniature, cache):
    remove_frames(own_miniature.root)
    options = {"data_dir": str(own_miniature.root), "cache_dir": cache, "split": "train", "missing_frames": "keep"}
    load_dataset("revos", "videos", **options)
    folder = own_miniature.root / "JPEGImages" / "UVO/all/-CiPki3XuVI"
    for name in ("00005.jpg", "00015.jpg"):
        shutil.copy(folder / "00000.jpg", folder / name)
    os.utime(folder, (1, 1))
    assert None not in load_dataset("revos", "videos", **options)[1]["frames"]


def test_an_unknown_way_to_treat_missing_frames_is_refused(miniature, cache):
    with pytest.raises(UsageError, match="'error' or 'keep'"):
        load_dataset("revos", data_dir=str(miniature.root), missing_frames="ignore", cache_dir=cache)


def test_a_forced_redownload_builds_anew(own_miniature, cache, monkeypatch):
    options = {"data_dir": str(own_miniature.root), "cache_dir": cache}
    load_dataset("revos", **options)
    made = built(monkeypatch)
    load_dataset("revos", download_mode=DownloadMode.FORCE_REDOWNLOAD, **options)
    assert len(made) == 3


def test_ids_of_videos_are_what_processes_share_not_masks(miniature, cache):
    builder = revos.Revos(data_dir=str(miniature.root), cache_dir=cache)
    for generator in builder._split_generators(None):
        lists = [value for value in generator.gen_kwargs.values() if isinstance(value, list)]
        layout = Layout.at(miniature.root)
        assert lists == [list(open_annotations(layout, str(generator.name)).videos)]


@pytest.mark.parametrize("spoil", [None, spoil_track])
def test_arrow_takes_memory_from_the_system_while_a_dataset_is_built(
    own_miniature, cache, edit_json, monkeypatch, spoil
):
    before = pa.default_memory_pool().backend_name
    pools = []
    tables = revos.Revos._generate_tables

    def noted(*args, **kwargs):
        pools.append(pa.default_memory_pool().backend_name)
        return tables(*args, **kwargs)

    monkeypatch.setattr(revos.Revos, "_generate_tables", noted)
    if spoil:
        spoil(own_miniature.root, edit_json)
    with pytest.raises(AnnotationError) if spoil else contextlib.nullcontext():
        load_dataset("revos", data_dir=str(own_miniature.root), cache_dir=cache)
    assert set(pools) == {"system"}
    assert pa.default_memory_pool().backend_name == before


def test_arrow_gets_its_pool_back_of_builds_that_overlap():
    """Of two threads: the second finds the pool of the first, which is not what there was before."""
    before = pa.default_memory_pool().backend_name
    one, other = revos._plain_memory(), revos._plain_memory()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    other.__exit__(None, None, None)
    assert pa.default_memory_pool().backend_name == before


def test_a_stream_of_a_split_needs_no_other(own_miniature):
    whole = datasets.load_dataset("revos", data_dir=str(own_miniature.root), split="validation", streaming=True)
    expected = list(whole)
    (own_miniature.root / "meta_expressions_train_.json").write_text("{")
    alone = datasets.load_dataset("revos", data_dir=str(own_miniature.root), split="validation", streaming=True)
    assert list(alone) == expected
    with pytest.raises(JsonError, match="meta_expressions_train_"):
        datasets.load_dataset("revos", data_dir=str(own_miniature.root), split="train", streaming=True)
    with pytest.raises(JsonError, match="meta_expressions_train_"):
        datasets.load_dataset("revos", data_dir=str(own_miniature.root), streaming=True)


def test_only_building_needs_a_cache_and_it_says_which_variable_names_it(miniature, monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "file" / "datasets")
    streamed = datasets.load_dataset("revos", data_dir=str(miniature.root), split="validation", streaming=True)
    assert next(iter(streamed))["video_id"]
    assert revos.Revos(data_dir=None).info.license
    with pytest.raises(UsageError, match="HF_HOME"):
        datasets.load_dataset("revos", data_dir=str(miniature.root), split="validation")
    elsewhere = str(tmp_path / "elsewhere")
    assert len(datasets.load_dataset("revos", data_dir=str(miniature.root), split="validation", cache_dir=elsewhere))


@pytest.mark.parametrize("num_proc", [None, 2])
def test_a_full_disk_is_said_in_one_sentence(miniature, tmp_path, monkeypatch, num_proc):
    def write(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("datasets.arrow_writer.ArrowWriter.write_table", write)
    with pytest.raises(StorageError) as raised:
        load_dataset("revos", data_dir=str(miniature.root), cache_dir=str(tmp_path), num_proc=num_proc)
    assert str(raised.value) == f"the disk of {tmp_path} is full: make room there, and try again"
    assert raised.value.__suppress_context__
    assert raised.value.__cause__ is None
    assert nothing_half_built(tmp_path)


def test_a_frame_that_is_damaged_is_not_said_to_be_a_data_file_that_is_not_found(own_miniature, cache, monkeypatch):
    def read(self, *args):
        raise FrameError("00000.jpg", "is no JPEG")

    monkeypatch.setattr(revos.Revos, "_shown", read)
    with pytest.raises(FrameError, match=r"^00000\.jpg is no JPEG$"):
        load_dataset("revos", data_dir=str(own_miniature.root), cache_dir=cache)


def test_a_cache_that_is_read_only_is_named(miniature, tmp_path, monkeypatch):
    def makedirs(path, **how):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(os, "makedirs", makedirs)
    with pytest.raises(StorageError, match=rf"^{re.escape(str(tmp_path))} may not be written to"):
        load_dataset("revos", data_dir=str(miniature.root), cache_dir=str(tmp_path))


# --- interrupts -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="no process is forked there")
def test_ctrl_c_is_not_for_workers_to_answer(own_miniature, cache, monkeypatch):
    """Whichever worker it ends may take a lock of the pool along, which then waits for ever."""
    read, parent = revos.Revos._shown, os.getpid()

    def interrupted(self, *args):
        if os.getpid() != parent:  # which builds what is one shard by itself
            signal.raise_signal(signal.SIGINT)
        return read(self, *args)

    monkeypatch.setattr(revos.Revos, "_shown", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        rows = load_dataset("revos", data_dir=str(own_miniature.root), cache_dir=cache, num_proc=2, split="train")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(rows) == len(list(expected_rows(own_miniature.root, "train")))


class Interrupting:
    """What raises Ctrl-C as soon as it is looked up."""

    def __get__(self, instance, owner):
        raise KeyboardInterrupt


def test_a_process_that_was_just_started_does_not_outlive_an_interrupt(own_miniature, cache, monkeypatch):
    """`datasets` starts a manager; until it has noted how to end it, nobody would."""
    monkeypatch.setattr("multiprocess.managers.BaseManager._finalize_manager", Interrupting())
    with pytest.raises(KeyboardInterrupt):
        load_dataset("revos", data_dir=str(own_miniature.root), cache_dir=cache, num_proc=2)
    assert not multiprocess.active_children()
    assert nothing_half_built(cache)


def test_an_interrupt_is_what_a_build_ends_with(own_miniature, cache, monkeypatch):
    """The pool asks its workers for what they have before it goes, and gives up on them with an error of its own."""

    def read(self, *args):
        time.sleep(60)

    monkeypatch.setattr(revos.Revos, "_shown", read)
    monkeypatch.setattr("datasets.utils.py_utils._get_pool_pid", Mock(side_effect=[set(), KeyboardInterrupt]))
    with pytest.raises(KeyboardInterrupt):
        load_dataset("revos", data_dir=str(own_miniature.root), cache_dir=cache, num_proc=2)
    assert not multiprocess.active_children()
