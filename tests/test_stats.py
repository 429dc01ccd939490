"""What `revoskit stats` counts is what was drawn."""

import numpy as np
import pytest

from revoskit.layout import Layout
from revoskit.stats import count, table


def test_counts_are_those_of_what_was_written(miniature):
    layout = Layout.at(miniature.root)
    rows = {(row.split, row.source): row for row in count(layout, layout.splits())}
    whole = rows["train", "all"]
    assert (whole.videos, whole.tracks, whole.frames) == (3, 9, 18)
    assert whole.expressions == {"referring": 10, "reasoning": 9, "nonexistent": 3}
    assert whole.sizes == {"128x72": 2, "72x128": 1}
    assert sum(row.videos for (split, source), row in rows.items() if split == "train" and source != "all") == 3
    drawn = [np.stack([miniature.pixels[3003000 + 10 * v + i] for i in range(3)]) for v in range(3)]
    assert whole.coverage == pytest.approx(np.mean([union.any(0).mean() for union in drawn]))
    assert whole.annotated == pytest.approx(np.mean([masks.any((2, 3)) for masks in drawn]))


def test_the_table_reads_row_by_row(miniature):
    lines = table(count(Layout.at(miniature.root), ["train_sub"])).splitlines()
    assert lines[-2].split()[:5] == ["train_sub", "all", "1", "8", "4"]
    assert lines[-1].split()[0] == "LV-VIS"


def test_progress_is_told_of_every_video(miniature):
    seen = []
    count(Layout.at(miniature.root), ["train", "validation"], seen.append)
    assert sum(seen) == 6
