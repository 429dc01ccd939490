"""The tasks of lmms-eval: what an answer becomes, and, where lmms-eval is installed, a run with a stand-in model."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import yaml
from datasets import load_dataset
from pycocotools import mask as coco

from revoskit.cli import main
from revoskit.lmms_eval import utils
from revoskit.lmms_eval.scores import score
from revoskit.miniature import write_miniature, write_sister
from revoskit.scoring.evaluate import evaluate

needs_lmms_eval = pytest.mark.skipif(find_spec("lmms_eval") is None, reason="lmms-eval is not installed")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "ReVOS"
    write_miniature(folder, videos=6, frames=12, height=72, width=128)
    return folder


@pytest.fixture(scope="module")
def rows(root, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    rows = load_dataset("revos", data_dir=str(root), splits=["validation"], split="validation", cache_dir=cache)
    return rows, utils.without_masks(rows)


def line(doc, answer) -> dict:
    made = utils.process_results(doc, [answer])
    assert list(made) == ["J&F", "J&F referring", "J&F reasoning"]
    assert len(set(made.values())) == 1
    return json.loads(made["J&F"])


def boxes(row, shown) -> list:
    """What a model would answer that sees everything: the box of each of the shown frames' masks."""
    found = []
    for i in shown:
        x, y, w, h = coco.toBbox(row["masks"][i])
        found.append(
            [[1000 * v / s for v, s in zip((x, y, x + w, y + h), [row["width"], row["height"]] * 2, strict=True)]]
        )
        if not w:
            found[-1] = None
    return found


def test_a_model_is_shown_eight_frames_and_the_expression_but_no_masks(rows):
    doc = rows[1][0]
    assert not {"masks", "object_ids", "annotation_ids"} & set(doc)
    images = utils.doc_to_visual(doc)
    assert [image.size for image in images] == [(doc["width"], doc["height"])] * 8
    del doc["frames"]  # lmms-eval takes images away where it asks for the text
    assert doc["expression"] in utils.doc_to_text(doc)
    assert "8 entries" in utils.doc_to_text(doc)


def test_boxes_are_filled_and_stand_for_the_frames_around(rows):
    doc = rows[1][0]
    half = [0, 0, 500, 1000]
    answer = line(doc, f"Sure! ```json\n{json.dumps([half, *[None] * 6, [half, [500, 500, 1000, 1000]]])}\n```")
    masks = answer["masks"]
    assert len(masks) == 12
    first, last = coco.decode(masks[0]), coco.decode(masks[-1])
    assert first[:, : doc["width"] // 2].all()
    assert not first[:, doc["width"] // 2 :].any()
    assert last.mean() == pytest.approx(0.75, abs=0.02)
    assert masks[5] is None
    assert answer["extra"]["text"].startswith("Sure!")


@pytest.mark.parametrize("answer", ["null", "None.", "[]", json.dumps([None] * 8), "There is none: null"])
def test_nothing_is_an_answer(rows, answer):
    assert line(rows[1][0], answer)["masks"] is None


def test_masks_are_taken_as_they_are(rows):
    full, docs = rows
    masks = [*full[0]["masks"][:-1], None]
    assert line(docs[0], json.dumps(masks))["masks"] == masks


@pytest.mark.parametrize(
    "answer",
    [
        "I cannot say.",
        "",
        "[[0, 0, 1000, 1000]]",
        json.dumps([[0, 0, 1, "x"]] * 8),
        json.dumps([[0, 0, 1]] * 8),
        json.dumps([{"counts": "", "size": [1, 1]}]),
        "[" * 100_000,
        "[[[0, 0, NaN, 1000]]" + ", null" * 7 + "]",
        '{"boxes": 3}',
        "\udc80",
    ],
)
def test_what_is_no_answer_is_a_failure_and_never_a_crash(rows, answer):
    assert "error" in line(rows[1][0], answer)


def test_a_run_is_scored_as_evaluate_scores_its_lines_and_once_for_all_metrics(root, rows, tmp_path, monkeypatch):
    monkeypatch.setenv("REVOS_ROOT", str(root))
    full, docs = rows
    args = type("Args", (), {"output_path": str(tmp_path / "out")})()
    lines = []
    for row, doc in zip(full, docs, strict=True):
        answer = json.dumps(boxes(row, [0, 2, 3, 5, 6, 8, 9, 11])) if row["object_ids"] else "I cannot say."
        lines.append(utils.process_results(doc, [answer])["J&F"])
    found = [f(lines, args) for f in (utils.revos_overall, utils.revos_referring, utils.revos_reasoning)]
    expected = evaluate(tmp_path / "out" / "revos.jsonl", root).rows["binary"]
    assert found == [expected[kind].measures["J&F"] for kind in ("overall", "referring", "reasoning")]
    assert 50 < found[0] < 100


def test_of_a_limited_run_only_what_was_asked_counts_and_an_unreadable_answer_counts_as_zero(
    root, rows, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("REVOS_ROOT", str(root))
    full, docs = rows
    args = type("Args", (), {"output_path": str(tmp_path)})()
    perfect = utils.process_results(docs[0], [json.dumps(full[0]["masks"])])["J&F"]
    wrong = utils.process_results(docs[1], ["no idea"])["J&F"]
    assert score("revos", "validation", [perfect], args)["overall"] == pytest.approx(100)
    assert score("revos", "validation", [perfect, wrong], args)["overall"] == pytest.approx(50)
    assert "2 of 21 expressions" in capsys.readouterr().err


def test_the_command_prints_the_folder_of_the_tasks(capsys):
    assert main(["lmms-eval"]) == 0
    folder = capsys.readouterr().out.strip()
    assert sorted(name for name in os.listdir(folder) if name.endswith(".yaml")) == ["mevis.yaml", "revos.yaml"]


def test_the_files_name_functions_that_are_there_and_every_metric_is_given(capsys):
    main(["lmms-eval"])
    folder = capsys.readouterr().out.strip()
    yaml.SafeLoader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    for name in ("revos", "mevis"):
        with open(os.path.join(folder, f"{name}.yaml")) as file:
            said = yaml.safe_load(file)
        assert said["task"] == name
        assert {metric["metric"] for metric in said["metric_list"]} <= set(utils.METRICS)
        named = [said.get(key, "") for key in ("process_docs", "doc_to_visual", "doc_to_text", "process_results")]
        named += [metric["aggregation"] for metric in said["metric_list"]]
        assert all(hasattr(utils, one.removeprefix("utils.")) for one in named if one)


STAND_IN = """
import re, sys, json
import numpy as np
from lmms_eval.api.model import lmms
from lmms_eval import evaluator
from lmms_eval.tasks import TaskManager
from revoskit.miniature import COLORS

class ByColor(lmms):
    '''Boxes what has the colour that the question names.'''
    is_simple = True
    def generate_until(self, requests):
        answers = []
        for text, kwargs, doc_to_visual, doc_id, task, split in (request.args for request in requests):
            frames = doc_to_visual(self.task_dict[task][split][doc_id])
            names = [name for name in COLORS if name in text]
            answers.append(json.dumps([self.box(np.asarray(frame), names) for frame in frames]))
        return answers
    def box(self, pixels, names):
        near = [np.abs(pixels.astype(int) - COLORS[name]).max(-1) < 40 for name in names]
        if not near or not near[0].any():
            return None
        y, x = np.nonzero(near[0])
        h, w = near[0].shape
        box = x.min() / w, y.min() / h, (x.max() + 1) / w, (y.max() + 1) / h
        return [round(1000 * float(side)) for side in box]
    def loglikelihood(self, requests): raise NotImplementedError
    def generate_until_multi_round(self, requests): raise NotImplementedError

task = sys.argv[1]
found = evaluator.simple_evaluate(
    model=ByColor(), tasks=[task], task_manager=TaskManager("ERROR", include_path=sys.argv[2]), bootstrap_iters=0,
)
print("RESULT", json.dumps({k.split(",")[0]: v for k, v in found["results"][task].items() if k.startswith("J&F")}))
"""


@needs_lmms_eval
@pytest.mark.parametrize("task", ["revos", "mevis"])
def test_lmms_eval_finds_the_tasks_and_scores_a_stand_in(task, root, tmp_path, capsys):
    if task == "mevis":
        root = tmp_path / "MeViS"
        write_sister(root, "mevis", frames=12, height=72, width=128)
    main(["lmms-eval"])
    folder = capsys.readouterr().out.strip()
    environment = {**os.environ, f"{task.upper()}_ROOT": str(root), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", STAND_IN, task, folder]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(next(one for one in done.stdout.splitlines() if one.startswith("RESULT"))[6:])
    family, split = {"revos": ("revos", "validation"), "mevis": ("mevis", "valid_u")}[task]
    expected = evaluate(tmp_path / f"{task}.jsonl", root, family=family, split=split).rows["binary"]
    assert said["J&F"] == pytest.approx(expected["overall"].measures["J&F"])
    assert 10 < said["J&F"] < 100
