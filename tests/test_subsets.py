"""Parts of a dataset by video."""

import pytest
from datasets import load_dataset

import revos  # noqa: F401
from revoskit import select_videos, split_by_video
from revoskit.errors import UsageError
from revoskit.training.clips import Clips


@pytest.fixture(scope="module")
def rows(miniature, tmp_path_factory):
    return load_dataset(
        "revos", data_dir=str(miniature.root), split="validation", cache_dir=str(tmp_path_factory.mktemp("c"))
    )


def test_parts_share_no_video_and_lose_no_row(rows):
    first, second = split_by_video(rows, 0.4, seed=3)
    assert not set(first["video_id"]) & set(second["video_id"])
    keys = [(row["video_id"], row["expression_id"]) for part in (first, second) for row in part]
    assert sorted(keys) == sorted((row["video_id"], row["expression_id"]) for row in rows)
    assert len(set(second["video_id"])) == max(1, round(0.4 * len(set(rows["video_id"]))))


def test_the_choice_follows_the_seed_and_the_ids_and_not_the_order_of_rows(rows):
    second = set(split_by_video(rows, 0.5, seed=1)[1]["video_id"])
    assert set(split_by_video(rows.shuffle(seed=7), 0.5, seed=1)[1]["video_id"]) == second
    assert len({frozenset(split_by_video(rows, 0.5, seed=seed)[1]["video_id"]) for seed in range(20)}) > 1


def test_videos_are_selected_by_ids_or_by_what_holds_of_them_also_after_a_transform(rows):
    wanted = rows[-1]["video_id"]
    chosen = select_videos(rows.with_transform(Clips(2, size=16)), {wanted})
    assert set(chosen[:]["video_id"]) == {wanted}
    assert chosen[0]["frames"].shape[0] == 2
    ovis = select_videos(rows, lambda video_id: video_id.startswith("OVIS/"))
    assert {row["video_id"].split("/")[0] for row in ovis} == {"OVIS"}


@pytest.mark.parametrize("share", [0, 1, -0.5, 2])
def test_what_is_no_share_is_refused(rows, share):
    with pytest.raises(UsageError, match="above 0 and below 1"):
        split_by_video(rows, share)


def test_what_cannot_be_divided_or_is_not_there_is_refused(rows):
    with pytest.raises(UsageError, match="1 videos cannot be divided"):
        split_by_video(select_videos(rows, {rows[0]["video_id"]}), 0.5)
    with pytest.raises(UsageError, match=r"none of the \d+ videos"):
        select_videos(rows, {"no such video"})
    with pytest.raises(UsageError, match="no column video_id; it has masks"):
        select_videos(rows.select_columns("masks"), {"a"})
