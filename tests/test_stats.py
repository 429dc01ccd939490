"""What `revoskit stats` counts is what was drawn."""

import msgspec
import numpy as np
import pytest

from revoskit.dataset.layout import TRACKS, Layout
from revoskit.stats import ALL_SOURCES, count, measure, table


def test_counts_are_those_of_what_was_written(miniature):
    layout = Layout.at(miniature.root)
    rows = {(row.split, row.source): row for row in measure(layout, layout.splits())}
    whole = rows["train", "all"]
    assert (whole.videos, whole.tracks, whole.frames) == (3, 9, 18)
    assert whole.expressions == {"referring": 10, "reasoning": 9, "nonexistent": 3}
    assert whole.sizes == {"128x72": 2, "72x128": 1}
    assert sum(row.videos for (split, source), row in rows.items() if split == "train" and source != "all") == 3
    drawn = [np.stack([miniature.pixels[3003000 + 10 * v + i] for i in range(3)]) for v in range(3)]
    assert whole.coverage == pytest.approx(np.mean([union.any(0).mean() for union in drawn]))
    assert whole.annotated == pytest.approx(np.mean([masks.any((2, 3)) for masks in drawn]))


def test_the_table_reads_row_by_row(miniature):
    lines = table(measure(Layout.at(miniature.root), ["train_sub"])).splitlines()
    assert lines[-4].split()[:8] == ["train_sub", "1", "8", "4", "+", "3", "+", "1"]
    assert lines[-3].split()[:2] == ["·", "LV-VIS"]
    assert lines[-1] == "Sizes of videos, width x height: train_sub: 128x72 (1)"


def test_the_table_of_a_dataset_of_the_real_size_fits_a_hundred_columns(miniature):
    (row, *_) = measure(Layout.at(miniature.root), ["validation"])
    expressions = {"referring": 20_071, "reasoning": 14_678, "nonexistent": 325}
    large = msgspec.structs.replace(row, videos=1_042, frames=123_456, tracks=12_345, expressions=expressions)
    large = msgspec.structs.replace(large, sizes={"1920x1080": 300, "1280x720": 250, "854x480": 200, "640x360": 1})
    every = [msgspec.structs.replace(large, split=split) for split in ("train", "validation", "train_sub")]
    assert max(map(len, table(every).splitlines())) <= 100


def test_progress_is_told_of_every_video(miniature):
    seen = []
    measure(Layout.at(miniature.root), ["train", "validation"], seen.append)
    assert sum(seen) == 7


def test_what_can_be_counted_without_masks_is_counted_without_reading_any(own_miniature):
    layout = Layout.at(own_miniature.root)
    measured = measure(layout, layout.splits())
    (own_miniature.root / TRACKS).write_text('{"3003000": [], "3003001": "spoiled"}')
    counted = count(layout, layout.splits())
    assert ALL_SOURCES in {row.source for row in counted}
    for row, whole in zip(counted, measured, strict=True):
        assert {name: getattr(whole, name) for name in row.__struct_fields__} == msgspec.structs.asdict(row)
