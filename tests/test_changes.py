"""Annotation files that are replaced while a job works from them: nothing is kept that mixes two states of them."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import pytest
from datasets import load_dataset

import revos
from revoskit import Layout, evaluate, open_annotations, write_gallery
from revoskit.dataset.annotations import Annotations
from revoskit.dataset.changes import unchanged
from revoskit.errors import ChangedError, RevosError
from revoskit.export import export
from revoskit.publishing import publish
from revoskit.publishing.shards import Content
from revoskit.scoring.rle_files import RleFile


class Replaced:
    """`mask_dict.json`, and another one that has every track's masks in another order."""

    def __init__(self, root: Path, edit_json: Callable) -> None:
        self.path = root / "mask_dict.json"
        self.old = self.path.with_name("old.json")
        self.new = self.path.with_name("new.json")
        self.new.write_bytes(self.path.read_bytes())
        edit_json(self.new, lambda tracks: [masks.reverse() for masks in tracks.values()])
        os.link(self.path, self.old)

    def come(self, *_: object) -> None:
        if self.new.exists():
            os.replace(self.new, self.path)

    def come_and_go(self, *_: object) -> None:
        """The new one is there for a moment; then the old one again, with its old time."""
        if self.new.exists():
            os.replace(self.new, self.path)
            os.link(self.old, self.old.with_name("back.json"))
            os.replace(self.old.with_name("back.json"), self.path)

    def go(self) -> None:
        """Put the old one back, time and all."""
        os.replace(self.old, self.path)

    def be_cut_short(self, *_: object) -> None:
        """The very file that is open loses its content: what is mapped of it would end the process (SIGBUS)."""
        os.truncate(self.path, 0)

    def write_into(self, *_: object) -> None:
        """The new content in place of the old, in the very file that is open, and of the same size."""
        if self.new.exists():
            content = self.new.read_bytes()
            self.new.unlink()
            with self.path.open("r+b") as file:
                file.write(content)


@pytest.fixture
def replaced(own_miniature, edit_json) -> Replaced:
    return Replaced(own_miniature.root, edit_json)


@pytest.fixture
def layout(own_miniature) -> Layout:
    return Layout.at(own_miniature.root)


WAYS = ["come", "come_and_go", "write_into"]


@pytest.mark.parametrize("way", WAYS)
def test_a_change_within_a_block_is_named(replaced, layout, way):
    with pytest.raises(ChangedError, match=r"mask_dict.json in .* changed") as raised, unchanged(layout):
        getattr(replaced, way)()
    assert raised.value.files == ["mask_dict.json"]


def test_what_goes_wrong_because_of_a_change_is_called_one(replaced, layout):
    def work() -> None:
        with unchanged(layout):
            replaced.come()
            raise KeyError("a track that is gone")

    with pytest.raises(ChangedError) as raised:
        work()
    assert isinstance(raised.value.__cause__, KeyError)


def test_files_that_come_and_go_are_changes_too(layout):
    def work() -> None:
        with unchanged(layout):
            (layout.root / "mask_dict_foreground.json").unlink()

    with pytest.raises(ChangedError, match=r"mask_dict_foreground\.json"):
        work()


def test_where_nothing_changes_the_error_is_the_own_one(layout):
    with pytest.raises(KeyError, match="mine"), unchanged(layout):
        raise KeyError("mine")


def test_another_process_does_not_take_new_files_for_the_old_ones(replaced, layout):
    reopen, arguments = open_annotations(layout, "train").__reduce__()
    assert reopen(*arguments).state in arguments
    replaced.come()
    with pytest.raises(ChangedError):
        reopen(*arguments)


# --- jobs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def at_the_second_video(monkeypatch) -> Callable:
    """`at_the_second_video(do)`: when its masks are asked for."""

    def arrange(do: Callable) -> None:
        asked: list[str] = []
        masks = Annotations.masks

        def watched(self, video):
            if video.video_id not in asked:
                asked.append(video.video_id)
            if len(asked) == 2:
                do()
            return masks(self, video)

        monkeypatch.setattr(Annotations, "masks", watched)

    return arrange


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("config", ["expressions", "videos"])
def test_a_dataset_that_would_mix_two_states_is_not_cached(
    config, way, replaced, layout, at_the_second_video, tmp_path
):
    at_the_second_video(getattr(replaced, way))
    arguments = {"name": config, "data_dir": str(layout.root), "cache_dir": str(tmp_path / "cache")}
    with pytest.raises(ChangedError):
        load_dataset(revos.NAME, **arguments)
    assert not list((tmp_path / "cache").rglob("*.arrow"))
    loaded = load_dataset(revos.NAME, **arguments)
    assert loaded["train"][0] == next(iter(load_dataset(revos.NAME, streaming=True, **arguments)["train"]))


@pytest.mark.parametrize("processes", [{}, {"num_proc": 2}], ids=["here", "in workers"])
def test_a_file_that_is_cut_short_while_a_dataset_is_built_is_named(
    processes, replaced, layout, at_the_second_video, tmp_path
):
    at_the_second_video(replaced.be_cut_short)
    with pytest.raises(ChangedError, match=r"mask_dict\.json"):
        load_dataset(revos.NAME, "videos", data_dir=str(layout.root), cache_dir=str(tmp_path / "cache"), **processes)
    assert not list((tmp_path / "cache").rglob("*.arrow"))


def test_predictions_that_are_cut_short_while_they_are_read_are_named(layout, tmp_path):
    annotations = open_annotations(layout, "train")
    videos = {video.video_id: {e.expression_id: [None] for e in video.expressions} for video in annotations}
    as_list = [{"video_id": v, "exp_id": e, "masks": m} for v, of_video in videos.items() for e, m in of_video.items()]
    for content in (videos, as_list):
        path = tmp_path / "predictions.json"
        path.write_text(json.dumps(content))
        predictions = RleFile(path)
        os.truncate(path, 0)
        video = next(iter(annotations))
        with pytest.raises(ChangedError, match=r"predictions\.json"):
            predictions.read(video, video.expressions[0])


def test_files_that_change_before_they_are_read_are_not_cached_under_their_old_name(replaced, layout, tmp_path):
    builder = revos.Revos(data_dir=str(layout.root), cache_dir=str(tmp_path / "cache"))
    replaced.come()
    with pytest.raises(ChangedError):
        builder.download_and_prepare()
    replaced.go()
    builder.download_and_prepare()
    assert isinstance(builder.as_dataset("train"), datasets.Dataset)


def _shards(folder: Path) -> dict[str, bytes]:
    found = [*folder.rglob("*.parquet"), *folder.rglob("*.tar"), *folder.rglob("*.png")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def _publish(layout: Layout, folder: Path, **progress: Callable) -> None:
    plan = publish.make_plan(layout, content=Content("none"), shard_bytes=1)
    publish.publish(layout, folder, plan, revos.Revos(data_dir=None).info, **progress)


def _webdataset(layout: Layout, folder: Path, **progress: Callable) -> None:
    export(layout, "webdataset", folder, **progress)


def _ytvos(layout: Layout, folder: Path, **progress: Callable) -> None:
    export(layout, "ytvos", folder, **progress)


@pytest.mark.parametrize("write", [_publish, _webdataset, _ytvos])
@pytest.mark.parametrize("way", ["come", "write_into"])
def test_what_was_written_of_changed_files_is_not_continued(write, way, replaced, layout, tmp_path, monkeypatch):
    """Also where the old files are put back with their old time, so that all looks as it did when the job began."""
    monkeypatch.setattr("revoskit.export.webdataset.SHARD_BYTES", 1)
    write(layout, tmp_path / "undisturbed")
    status = replaced.path.stat()
    content = replaced.path.read_bytes()
    with pytest.raises(RevosError, match=r"mask_dict\.json .* changed"):
        write(layout, tmp_path / "out", progress=getattr(replaced, way))
    replaced.path.write_bytes(content)
    os.utime(replaced.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    write(layout, tmp_path / "out")
    assert _shards(tmp_path / "out") == _shards(tmp_path / "undisturbed") != {}


@pytest.mark.parametrize("way", WAYS)
def test_a_page_that_would_mix_two_states_shows_nothing(way, replaced, layout, tmp_path):
    write_gallery(layout, "train", tmp_path / "page")
    with pytest.raises(ChangedError):
        write_gallery(layout, "train", tmp_path / "page", progress=getattr(replaced, way))
    assert not (tmp_path / "page" / "data").exists()
    write_gallery(layout, "train", tmp_path / "page")
    assert (tmp_path / "page" / "data" / "index.js").exists()


@pytest.mark.parametrize("way", ["come", "write_into", "be_cut_short"])
def test_scores_against_two_states_are_not_given(way, replaced, layout, tmp_path):
    def predictions() -> Iterator[tuple[str, dict]]:
        for video in open_annotations(layout, "train"):
            yield video.video_id, {}

    with pytest.raises(ChangedError):
        evaluate(
            dict(predictions()),
            layout.root,
            split="train",
            output=tmp_path / "scores",
            progress=getattr(replaced, way),
        )
    assert not (tmp_path / "scores" / "scores.json").exists()
