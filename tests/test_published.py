"""What was published about the dataset, and when a copy is told to differ."""

from __future__ import annotations

import pytest

from revoskit.dataset import published
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.miniature import write_miniature


def test_the_counts_by_split_add_up_to_the_papers():
    assert published.totals() == {"referring": 20_071, "reasoning": 14_678, "nonexistent": 325, "total": 35_074}
    assert sum(published.VIDEOS.values()) == 1_042
    assert [sum(counts.values()) for counts in published.EXPRESSIONS.values()] == [29_252, 5_822]


@pytest.fixture
def splits(tmp_path):
    write_miniature(tmp_path)
    layout = Layout.at(tmp_path)
    return [open_annotations(layout, split) for split in layout.splits()]


def test_a_part_of_the_dataset_is_not_told_to_differ(splits):
    assert published.differences(splits) == []


def test_a_whole_copy_that_counts_otherwise_is_told_by_how_much(splits, monkeypatch):
    validation = next(one for one in splits if one.split == "validation")
    monkeypatch.setitem(published.VIDEOS, "validation", len(validation.videos))
    counts = dict.fromkeys(published.EXPRESSIONS["validation"], 0)
    for video in validation:
        for expression in video.expressions:
            counts[expression.type.label] += 1
    monkeypatch.setitem(published.EXPRESSIONS, "validation", counts)
    assert published.differences(splits) == []
    monkeypatch.setitem(published.EXPRESSIONS, "validation", {**counts, "reasoning": 3_000})
    (line,) = published.differences(splits)
    assert line.startswith(f"validation has {counts['reasoning']} reasoning expressions (3,000): ")
