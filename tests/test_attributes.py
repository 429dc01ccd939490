"""revoskit.scoring.attributes and the slices that they make, and the lists of videos to leave out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from test_evaluate import write_dataset

from revoskit import cli
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.errors import MissingFilesError, UsageError
from revoskit.masks.rle import MaskSequence
from revoskit.miniature import write_miniature
from revoskit.scoring.attributes import ATTRIBUTES, Attributes, attributes
from revoskit.scoring.evaluate import evaluate
from revoskit.scoring.result import MEASURES
from revoskit.scoring.truth import Truth
from revoskit.scoring.video_lists import VideoList, read_verdicts


def attributes_of(root: Path, tracks: np.ndarray, *chosen: list[int]) -> list[Attributes]:
    write_dataset(root, tracks, [(ids, 0) for ids in chosen])
    annotations = open_annotations(Layout.at(root), "validation")
    video = annotations.video("v/0")
    return [attributes(Truth(video, annotations.masks(video)), e) for e in video.expressions]


def squares(sides: list[int], shift: int = 0, size: int = 100) -> np.ndarray:
    """A square of these sides in each frame, moved on by `shift` pixels a frame."""
    track = np.zeros((len(sides), size, size), np.uint8)
    for t, side in enumerate(sides):
        track[t, 10 : 10 + side, 10 + shift * t : 10 + shift * t + side] = 1
    return track


def test_size_is_the_share_of_the_frame_where_the_object_is_visible(tmp_path):
    small, medium, large, none = (squares([side, 0, side]) for side in (9, 10, 32, 0))
    found = attributes_of(tmp_path, np.stack([small, medium, large, none]), [0], [1], [2], [3], [])
    assert [one.size for one in found] == ["small", "medium", "large", "none", "none"]


def test_objects_are_the_tracks_that_are_meant_and_tracks_those_of_the_video(tmp_path):
    found = attributes_of(tmp_path, np.stack([squares([5, 5])] * 6), [], [0], [1, 1], [2, 3], [3, 4, 5, 0])
    assert [one.objects for one in found] == ["0", "1", "1", "2", "3+"]
    assert {one.tracks for one in found} == {"6+"}
    assert attributes_of(tmp_path / "few", np.stack([squares([5, 5])] * 2), [0, 1])[0].tracks == "1-2"


def test_presence_tells_part_from_gone_and_back(tmp_path):
    sides = [[5, 5, 5, 5], [0, 5, 5, 0], [5, 0, 0, 5], [0, 5, 0, 5], [0, 0, 0, 0], [5, 0, 0, 0], [5, 5, 0, 5]]
    found = attributes_of(tmp_path, np.stack([squares(each) for each in sides]), *([i] for i in range(7)))
    words = ["always", "part", "returns", "returns", "none", "part", "returns"]
    assert [one.presence for one in found] == words


def test_motion_is_how_much_of_itself_an_object_leaves_in_a_frame(tmp_path):
    # Squares of 20 that move on by 1, 2 and 4 pixels keep 19/21, 18/22 and 16/24 of themselves.
    tracks = [squares([20] * 12, shift) for shift in (1, 2, 4)] + [squares([20, 0] * 6, 1)]
    found = attributes_of(tmp_path, np.stack(tracks), [0], [1], [2], [3])
    assert [one.motion for one in found] == ["slow", "medium", "fast", "none"]


@pytest.mark.parametrize(("frames", "label"), [(39, "short"), (40, "medium"), (99, "medium"), (100, "long")])
def test_length_is_that_of_the_video(tmp_path, frames, label):
    assert attributes_of(tmp_path, squares([2] * frames, size=20)[None], [0])[0].length == label


def test_the_source_is_that_of_the_video_id(tmp_path):
    assert attributes_of(tmp_path, squares([5])[None], [0])[0].source == "v"


def test_the_documentation_names_every_attribute_and_threshold():
    page = (Path(__file__).parent.parent / "docs" / "comparing.md").read_text(encoding="utf-8")
    for name in ATTRIBUTES:
        assert f"| `{name}` |" in page
    for threshold in ("below 1 %", "below 10 %", "below 0.7", "below 0.9", "fewer than 40", "fewer than 100"):
        assert threshold in page


# --- slices -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("ReVOS")
    write_miniature(root, videos=8, frames=4, height=20, width=30)
    return root


@pytest.fixture(scope="module")
def predictions(data, tmp_path_factory) -> Path:
    annotations = open_annotations(Layout.at(data), "validation")
    rng = np.random.default_rng(1)
    moved: dict[str, dict[str, list]] = {}
    for video in annotations:
        for e in video.expressions:
            pixels = np.roll(annotations.masks(video).of(e).decode(), rng.integers(0, 4, 2), (1, 2))
            moved.setdefault(video.video_id, {})[e.expression_id] = list(MaskSequence.encode(pixels))
    path = tmp_path_factory.mktemp("predictions") / "moved.json"
    path.write_text(json.dumps(moved))
    return path


def test_slices_hold_the_means_of_their_expressions(data, predictions, tmp_path):
    result = evaluate(predictions, data, output=tmp_path)
    document = json.loads((tmp_path / "scores.json").read_text())
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["expression_type"] != "nonexistent"]
    assert list(document["slices"]) == ["type", *ATTRIBUTES]
    for name in ATTRIBUTES:
        cells = document["slices"][name]
        assert set(cells) == {row[name] for row in rows}
        assert sum(cell["expressions"] for cell in cells.values()) == len(rows)
        for value, cell in cells.items():
            mine = [row for row in rows if row[name] == value]
            assert cell["videos"] == len({row["video_id"] for row in mine})
            means = []
            for kind in ("referring", "reasoning"):
                scores = [float(row["binary_J&F"]) for row in mine if row["expression_type"] == kind]
                assert cell["binary"][kind]["expressions"] == len(scores)
                if scores:
                    means.append(np.mean(scores))
                    assert cell["binary"][kind]["J&F"] == pytest.approx(means[-1])
            assert cell["binary"]["overall"]["J&F"] == pytest.approx(np.mean(means))
    for kind, cell in document["slices"]["type"].items():
        assert cell["binary"]["overall"]["J"] == pytest.approx(document["binary"][kind]["J"])
    assert "presence" in result.table_of_slices()
    assert all(value in result.table_of_slices() for value in document["slices"]["source"])


# --- videos to leave out ----------------------------------------------------------------------------------------------


def a_report(ids: list[str]) -> list[dict]:
    verdicts = ["misaligned", "aligned", "unsupported", "undecided", "shifted", "outline"]
    return [
        {"split": "validation", "video_id": video_id, "verdict": verdicts[i % 6], "mapping": None}
        for i, video_id in enumerate(ids)
    ]


def test_excluded_videos_make_a_line_of_their_own_and_change_no_other(data, predictions, tmp_path, capsys):
    plain = evaluate(predictions, data)
    ids = list(dict.fromkeys(e.video_id for e in plain.expressions))
    listed = tmp_path / "bad.txt"
    listed.write_text(f"# these look wrong\n{ids[0]}  # drifts\n\nTAO/unknown\n")
    result = evaluate(predictions, data, exclude=listed)
    assert result.rows == plain.rows
    document = json.loads(result.to_json())
    assert document["binary"] == json.loads(plain.to_json())["binary"]
    left = [e for e in plain.expressions if e.video_id != ids[0]]
    assert document["without"]["file"] == "bad.txt"
    assert document["without"]["videos"] == len(ids) - 1
    for kind, number in (("referring", 0), ("reasoning", 1)):
        row = document["without"]["binary"][kind]
        scores = [e.binary.percent() for e in left if e.type == number]
        assert row == {
            **{name: pytest.approx(np.mean([one[name] for one in scores])) for name in MEASURES},
            "expressions": len(scores),
        }
    arguments = ["evaluate", str(predictions), str(data), "--exclude", str(listed), "--slices", "--num-proc", "1"]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    first, _, second = printed.partition("without 1 videos that bad.txt names")
    assert first.startswith(plain.table())
    assert "1 others that it names are not in the split" in second
    assert "presence" in second


def test_every_form_of_a_list_names_the_same_videos(tmp_path):
    ids = ["a/0", "b/1", "c/2", "d/3", "e/4", "f/5"]
    forms = {
        "list.txt": "a/0\nc/2\ne/4\n",
        "list.json": json.dumps(["a/0", "c/2", "e/4"]),
        "mappings.json": json.dumps({"a/0": {"stride": 2, "offset": 0}, "c/2": ["00000", None], "e/4": ["00000"]}),
        "report.json": json.dumps(a_report(ids)),
    }
    for name, content in forms.items():
        (tmp_path / name).write_text(content)
        assert VideoList.read(tmp_path / name) == VideoList(name, frozenset({"a/0", "c/2", "e/4"})), name


def test_what_a_check_of_the_frames_found_is_an_attribute(data, predictions, tmp_path):
    ids = list(open_annotations(Layout.at(data), "validation").videos)
    (tmp_path / "report.json").write_text(json.dumps(a_report(ids[:3])))
    assert read_verdicts(tmp_path / "report.json")[ids[0]] == "misaligned"
    result = evaluate(predictions, data, verdicts=tmp_path / "report.json", output=tmp_path / "scores")
    assert {"misaligned", "aligned", "unsupported"} <= set(result.slices["alignment"])
    assert result.slices["alignment"]["misaligned"].videos == 1
    header = (tmp_path / "scores" / "scores.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.endswith(",alignment")


@pytest.mark.parametrize(
    "content", [b"", b"# nothing\n", b"[]", b"[1]", b'{"a": ', b"\xff\xfe\x00", b'[{"verdict": 1}]']
)
def test_what_names_no_videos_is_refused_with_what_would(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UsageError, match="Expected a video id on each line"):
        VideoList.read(tmp_path / "file")
    with pytest.raises(MissingFilesError, match="no file"):
        VideoList.read(tmp_path / "other")
    (tmp_path / "file").write_bytes(content or b"x")
    if content != b"[]":
        with pytest.raises(UsageError, match="check ROOT --alignment --json"):
            read_verdicts(tmp_path / "file")
