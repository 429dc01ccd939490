"""revoskit.scoring.compare: methods on the same expressions, and nothing else, are compared."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

import revoskit
from revoskit import cli
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.errors import UsageError
from revoskit.masks.rle import MaskSequence
from revoskit.miniature import write_miniature
from revoskit.scoring.attributes import ATTRIBUTES
from revoskit.scoring.compare import compare
from revoskit.scoring.evaluate import evaluate
from revoskit.scoring.result import MEASURES


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("ReVOS")
    write_miniature(root, videos=12, frames=4, height=20, width=30)
    return root


@pytest.fixture(scope="module")
def predictions(data, tmp_path_factory) -> list[Path]:
    """Two methods, `near.json` and `far.json`: truth moved by little and by more."""
    folder = tmp_path_factory.mktemp("predictions")
    annotations = open_annotations(Layout.at(data), "validation")
    for name, reach in (("near", 1), ("far", 4)):
        rng = np.random.default_rng(reach)
        moved: dict[str, dict[str, list]] = {}
        for video in annotations:
            for e in video.expressions:
                pixels = np.roll(annotations.masks(video).of(e).decode(), rng.integers(0, reach + 1, 2), (1, 2))
                moved.setdefault(video.video_id, {})[e.expression_id] = list(MaskSequence.encode(pixels))
        (folder / f"{name}.json").write_text(json.dumps(moved))
    return [folder / "near.json", folder / "far.json"]


@pytest.fixture(scope="module")
def scored(data, predictions, tmp_path_factory) -> list[Path]:
    folders = [tmp_path_factory.mktemp(path.stem) for path in predictions]
    for path, folder in zip(predictions, folders, strict=True):
        evaluate(path, data, protocol="both", output=folder)
    return folders


def test_predictions_earlier_scores_and_results_compare_alike(data, predictions, scored):
    found = compare(predictions, data, resamples=50).as_dict()
    names = ["near", "far"]
    assert compare(scored, names=names, resamples=50).as_dict() == found
    results = [evaluate(path, data) for path in predictions]
    assert compare(results, names=names, resamples=50).as_dict() == found
    assert revoskit.compare([scored[0], predictions[1]], data, names=names, resamples=50).as_dict() == found
    assert [method["name"] for method in found["methods"]] == names


@pytest.mark.parametrize("protocol", ["binary", "official"])
def test_the_means_are_those_that_evaluate_gives(data, predictions, scored, protocol):
    found = compare(scored, protocol=protocol, resamples=20)
    for path, method in zip(predictions, found.methods, strict=True):
        rows = evaluate(path, data, protocol=protocol).rows[protocol]
        assert list(method.rows) == list(rows) == ["referring", "reasoning", "overall"]
        for kind, row in rows.items():
            values = {name: interval.value for name, interval in method.rows[kind].items()}
            assert values == pytest.approx(row.measures, abs=1e-9)
    [pair] = found.pairs
    overall = [method.rows["overall"]["J&F"].value for method in found.methods]
    assert pair.rows["overall"]["J&F"].difference == pytest.approx(overall[1] - overall[0])


def test_the_command_prints_a_table_and_json_and_writes_both(data, predictions, tmp_path, capsys):
    arguments = ["compare", *map(str, predictions), "--data-dir", str(data), "-o", str(tmp_path), "--num-proc", "1"]
    assert cli.main([*arguments, "--shown", "3"]) == 0
    table = capsys.readouterr().out
    assert "ReVOS, validation, binary" in table
    assert "far − near" in table
    videos = len(open_annotations(Layout.at(data), "validation").videos)
    assert f"paired bootstrap over {videos} videos" in table
    arguments.remove("--data-dir")  # the dataset may also stand behind the methods
    assert cli.main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["methods", "pairs"]
    assert list(document["methods"][0]) == ["name", "referring", "reasoning", "overall"]
    assert list(document["methods"][0]["overall"]["J&F"]) == ["value", "low", "high"]
    assert list(document["pairs"][0]) == ["a", "b", "referring", "reasoning", "overall"]
    assert list(document["pairs"][0]["overall"]["J&F"]) == ["difference", "low", "high", "p"]
    assert set(document["pairs"][0]["overall"]) == set(MEASURES)
    assert (document["pairs"][0]["a"], document["pairs"][0]["b"]) == ("near", "far")
    assert document == json.loads((tmp_path / "comparison.json").read_text())
    assert (tmp_path / "near" / "scores.json").is_file()
    with (tmp_path / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "near" / "scores.csv").open(encoding="utf-8", newline="") as file:
        near = list(csv.DictReader(file))
    assert [row["near_J&F"] for row in rows] == [row["binary_J&F"] for row in near]
    assert [row["expression"] for row in rows] == [row["expression"] for row in near]


def test_slices_compare_the_expressions_that_they_hold(data, predictions, scored, capsys):
    found = compare(scored, names=["near", "far"], resamples=20)
    results = [evaluate(path, data) for path in predictions]
    assert list(found.slices) == [*ATTRIBUTES]
    for name, values in found.slices.items():
        assert list(values) == list(results[0].slices[name])
        for value, part in values.items():
            for result, method in zip(results, part.methods, strict=True):
                want = result.slices[name][value].rows["binary"]["overall"].measures["J&F"]
                assert method.rows["overall"]["J&F"].value == pytest.approx(want)
    assert cli.main(["compare", *map(str, scored), "--slices", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["methods", "pairs", "slices"]
    assert "p" in next(iter(document["slices"]["size"].values()))["pairs"][0]["overall"]["J&F"]
    assert cli.main(["compare", *map(str, scored), "--slices"]) == 0
    assert "presence" in capsys.readouterr().out


def test_wins_and_losses_stand_at_the_ends(data, predictions):
    found = compare(predictions, data, resamples=5)
    contrasts = found.contrasts(0, 1)
    differences = [one.difference for one in contrasts]
    assert differences == sorted(differences, reverse=True)
    kinds = [one.expression.expression_type for one in contrasts]
    assert "nonexistent" not in kinds  # what counts in no mean is neither won nor lost
    assert len(contrasts) == sum(e.expression_type != "nonexistent" for e in found.scored[0].expressions)
    last = contrasts[-1].expression
    lines = found.table(shown=1).splitlines()
    assert f"{last.video_id} {last.expression_id}" in lines[-1]
    assert f"{contrasts[-1].difference:+.1f}" in lines[-1]


def test_all_differences_are_written_in_the_order_of_their_size(data, predictions, tmp_path):
    found = compare([*predictions, {}], data, names=["near", "far", "none"], resamples=5)
    found.save(tmp_path)
    with (tmp_path / "differences.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [*rows[0]] == [
        "a",
        "b",
        "video_id",
        "expression_id",
        "expression",
        "expression_type",
        "a_J&F",
        "b_J&F",
        "difference",
    ]
    assert list(dict.fromkeys((row["a"], row["b"]) for row in rows)) == [
        ("near", "far"),
        ("near", "none"),
        ("far", "none"),
    ]
    of_first = [row for row in rows if row["b"] == "far"]
    assert len(of_first) == len(found.contrasts(0, 1))
    differences = [float(row["difference"]) for row in of_first]
    assert differences == sorted(differences, reverse=True)
    for row, one in zip(of_first, found.contrasts(0, 1), strict=True):
        assert float(row["b_J&F"]) - float(row["a_J&F"]) == pytest.approx(float(row["difference"]))
        assert (row["video_id"], row["expression_id"]) == (one.expression.video_id, one.expression.expression_id)


def test_predictions_that_are_not_there_are_told_of(data, predictions, tmp_path, capsys):
    document = json.loads(predictions[1].read_text())
    del document[next(iter(document))]["0"]
    (tmp_path / "part.json").write_text(json.dumps(document))
    whole, part = predictions[0], tmp_path / "part.json"
    arguments = ["--data-dir", str(data), "--num-proc", "1", "-o", str(tmp_path / "out")]
    assert cli.main(["compare", str(whole), str(part), *arguments]) == 0
    said = capsys.readouterr().err
    total = len(compare([whole, part], data, resamples=5).scored[0].expressions)
    assert f"part: 1 of {total:,} predictions cannot be used" in said
    assert "near:" not in said
    assert cli.main(["compare", str(tmp_path / "out/near"), str(tmp_path / "out/part")]) == 0
    assert f"part: 1 of {total:,} predictions cannot be used" in capsys.readouterr().err


def test_tables_keep_within_a_hundred_columns(data, predictions, tmp_path):
    text = "the one that “stands” " * 12
    long_texts = tmp_path / "data"
    write_miniature(long_texts, videos=8, frames=2, height=20, width=30)
    file = long_texts / "meta_expressions_valid_.json"
    document = json.loads(file.read_text())
    for video in document["videos"].values():
        for said in video["expressions"].values():
            said["exp"] = text
    file.write_text(json.dumps(document))
    annotations = open_annotations(Layout.at(long_texts), "validation")
    far: dict[str, dict[str, np.ndarray]] = {}
    full: dict[str, dict[str, np.ndarray]] = {}
    for video in annotations:
        for e in video.expressions:
            truth = annotations.masks(video).of(e).decode()
            moved = np.roll(truth, (3, 5), (1, 2))
            full.setdefault(video.video_id, {})[e.expression_id] = truth
            far.setdefault(video.video_id, {})[e.expression_id] = moved
    found = compare([full, far], long_texts, names=["VISA-13B-0", "Veason-R1"], resamples=50)
    for line in found.table().splitlines():
        assert len(line) <= 100, line
    assert "…" in found.table()


@pytest.mark.parametrize(
    ("names", "called"), [(["a\nb", "c"], ("a b", "c")), (["  a ", "\x1b[1mc"], ("a", "\\x1b[1mc"))]
)
def test_names_stand_on_one_line(scored, names, called):
    assert compare(scored, names=names, resamples=5).names == called


@pytest.mark.parametrize("names", [["", "b"], [" ", "b"]])
def test_a_name_is_not_empty(scored, names):
    with pytest.raises(UsageError, match="is not empty"):
        compare(scored, names=names)


def test_fewer_than_none_are_not_shown(scored, capsys):
    assert cli.main(["compare", *map(str, scored), "--shown", "-1"]) == 2
    assert "--shown" in capsys.readouterr().err


def test_a_stopped_comparison_goes_on_with_the_videos_that_are_scored(data, predictions, tmp_path):
    class Stopped(Exception):
        pass

    def stop(done: int, videos: int) -> None:
        if done == 3:
            raise Stopped

    with pytest.raises(Stopped):
        compare(predictions, data, output=tmp_path, progress=stop)
    seen = []
    compare(predictions, data, output=tmp_path, resamples=5, progress=lambda done, videos: seen.append(done))
    assert seen[0] == 3


def test_scores_of_other_data_splits_protocols_and_versions_are_refused(data, predictions, scored, tmp_path):
    with pytest.raises(UsageError, match=r"near.* and the data in .* differ in split \(validation, train\)"):
        compare([scored[0], predictions[1]], data, names=["near", "far"], split="train")
    other = tmp_path / "other"
    write_miniature(other, videos=12, frames=4, height=20, width=30, seed=5)
    with pytest.raises(UsageError, match=r"differ in data \(expressions, tracks, foreground\)"):
        compare([scored[0], predictions[1]], other)
    with pytest.raises(UsageError, match="differ in data"):
        compare(scored, other)
    evaluate(predictions[0], data, output=tmp_path / "binary")
    with pytest.raises(UsageError, match=r"lacks official_J, .* --protocol official"):
        compare([tmp_path / "binary", scored[1]], protocol="official")
    newer = json.loads((tmp_path / "binary" / "scores.json").read_text())
    newer["scored"]["version"] = "99.0"
    (tmp_path / "binary" / "scores.json").write_text(json.dumps(newer))
    with pytest.raises(UsageError, match=r"version of revoskit \(99.0, .*Score all of them anew: `revoskit evaluate"):
        compare([tmp_path / "binary", scored[1]])
    del newer["scored"]
    (tmp_path / "binary" / "scores.json").write_text(json.dumps(newer))
    with pytest.raises(UsageError, match="older version"):
        compare([tmp_path / "binary", scored[1]])


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda text: text.replace("binary_J,", "J,"), "lacks binary_J"),
        (lambda text: re.sub(r",\d+\.\d+,", ",nan,", text, count=1), "expected a number, found nan"),
        (lambda text: text.rstrip().rpartition("ing,")[0] + "ing,", r"line \d+"),
        (lambda text: text.rstrip().rpartition("\n")[0] + "\n", "not for the same ones"),
    ],
)
def test_a_file_of_scores_that_was_changed_is_not_trusted(data, predictions, scored, tmp_path, harm, reason):
    evaluate(predictions[0], data, output=tmp_path)
    file = tmp_path / "scores.csv"
    file.write_text(harm(file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(UsageError, match=reason):
        compare([scored[0], tmp_path], names=["one", "changed"])


def test_what_cannot_be_compared_is_said(data, predictions, scored):
    for methods in ([], scored[:1], str(scored[0])):
        with pytest.raises(UsageError, match="nothing to compare"):
            compare(methods)
    with pytest.raises(UsageError, match="2 methods and 1 names"):
        compare(scored, names=["one"])
    with pytest.raises(UsageError, match="cannot have one name"):
        compare(scored, names=["one", "one"])
    with pytest.raises(UsageError, match="given by one path"):
        compare([scored[0], scored[0]])
    with pytest.raises(UsageError, match="in one protocol"):
        compare(scored, protocol="both")
    with pytest.raises(UsageError, match="made with protocol binary"):
        compare([evaluate(path, data) for path in predictions], protocol="official")


def test_methods_are_called_by_as_much_of_their_paths_as_tells_them_apart(data, scored, tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scores").symlink_to(scored[0])
    moved = [tmp_path / name / "scores" for name in ("one", "other")]
    with pytest.raises(UsageError, match="cannot be told apart"):
        compare(moved, resamples=5)  # two links to one folder
    copies = [tmp_path / name / "copied" for name in ("one", "other")]
    for copy in copies:
        copy.mkdir()
        for file in ("scores.json", "scores.csv"):
            (copy / file).write_bytes((scored[0] / file).read_bytes())
    found = compare(copies, resamples=5)
    assert found.names == ("one/copied", "other/copied")
    assert "have the same J&F for every expression" in found.table()
