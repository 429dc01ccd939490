"""Scores for the Hub: what a model's repository and a benchmark's say, read back by the Hub's own client."""

import re

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

import revos
from revoskit.cli import main
from revoskit.dataset.layout import Layout
from revoskit.miniature import write_miniature
from revoskit.publishing import publish as publishing
from revoskit.publishing.shards import Content
from revoskit.scoring.evaluate import evaluate


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "ReVOS"
    write_miniature(folder, videos=6, frames=4, height=36, width=64)
    return folder


@pytest.fixture
def predictions(root, tmp_path):
    publish(root, tmp_path / "truth")
    return str(next((tmp_path / "truth").glob("expressions/validation-*")))  # the truth, as a table of predictions


def publish(root, folder, configs=("expressions",)):
    plan = publishing.make_plan(Layout.at(root), content=Content("none"), configs=configs)
    publishing.publish(Layout.at(root), folder, plan, revos.Revos(data_dir=None).info)
    return folder


CARD = ["--model-card", "someone/model", "--benchmark", "the-lab/revos"]


def test_the_clients_own_reader_finds_every_score(root, predictions, tmp_path, capsys):
    folder = tmp_path / "scores"
    assert main(["evaluate", predictions, str(root), "-o", str(folder), *CARD]) == 0
    written = folder / ".eval_results" / "revos.yaml"
    entries = parse_eval_result_entries(yaml.safe_load(written.read_text()))
    expected = evaluate(predictions, root).rows["binary"]
    assert [(e.dataset_id, e.task_id, e.value) for e in entries] == [
        ("the-lab/revos", task, round(expected[row].measures["J&F"], 2))
        for task, row in [("revos", "overall"), ("revos_referring", "referring"), ("revos_reasoning", "reasoning")]
    ]
    assert re.fullmatch(r"J&F, binary protocol, 18 expressions, revoskit \S+", entries[0].notes)
    assert f"hf upload someone/model {written} .eval_results/revos.yaml --create-pr" in capsys.readouterr().out


def test_the_official_protocol_is_given_where_it_was_computed(root, predictions, tmp_path):
    assert main(["evaluate", predictions, str(root), "-o", str(tmp_path), "--protocol", "both", *CARD]) == 0
    entries = yaml.safe_load((tmp_path / ".eval_results" / "revos.yaml").read_text())
    assert all("official protocol" in entry["notes"] for entry in entries)


def test_json_stays_json(root, predictions, tmp_path, capsys):
    assert main(["evaluate", predictions, str(root), "-o", str(tmp_path), "--json", *CARD]) == 0
    captured = capsys.readouterr()
    assert captured.out.lstrip().startswith("{")
    assert captured.out.rstrip().endswith("}")
    assert "hf upload" in captured.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (CARD[:2], "needs --benchmark OWNER/NAME"),
        (["--benchmark", "a/b"], "--benchmark goes with --model-card"),
        (["--model-card", "model", *CARD[2:]], "--model-card: 'model' is not of the form OWNER/NAME"),
        (["--model-card", "a/b c", *CARD[2:]], "--model-card: Repo id"),
        ([*CARD, "--family", "mevis", "--split", "valid_u"], "of the validation split of ReVOS"),
        ([*CARD, "--only-predicted"], "whole split as filed"),
        ([*CARD, "--faults", "skip"], "whole split as filed"),
        ([*CARD, "--split", "train"], "of the validation split of ReVOS"),
    ],
)
def test_what_no_card_can_say_is_refused(root, predictions, tmp_path, capsys, options, message):
    assert main(["evaluate", predictions, str(root), "-o", str(tmp_path / "scores"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "scores" / ".eval_results").exists()


def test_without_a_folder_there_is_nowhere_to_write(root, predictions, capsys):
    assert main(["evaluate", predictions, str(root), *CARD]) == 2
    assert "-o DIR" in capsys.readouterr().err


def test_a_published_folder_says_what_a_benchmark_must_and_its_tasks_are_those_of_the_results(root, tmp_path):
    said = yaml.safe_load((publish(root, tmp_path / "out") / "eval.yaml").read_text())
    assert set(said) == {"name", "description", "evaluation_framework", "tasks"}
    assert [task["id"] for task in said["tasks"]] == ["revos", "revos_referring", "revos_reasoning"]
    card = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---")[1])
    configs = {one["config_name"]: {files["split"] for files in one["data_files"]} for one in card["configs"]}
    assert all(task["split"] in configs[task["config"]] for task in said["tasks"])
    assert not (publish(root, tmp_path / "videos", ["videos"]) / "eval.yaml").exists()
