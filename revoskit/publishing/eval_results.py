"""Scores as the Hub shows them: what a model's repository says of itself, and what makes a dataset a benchmark.

The files are those of https://huggingface.co/docs/hub/eval-results: `eval.yaml` at the top of the dataset's repository
names its tasks, and `.eval_results/*.yaml` in a model's repository gives a value for a task of such a dataset.
"""

from __future__ import annotations

from pathlib import Path

from huggingface_hub.utils import HFValidationError, validate_repo_id, yaml_dump

import revoskit
from revoskit.atomic import write_whole
from revoskit.dataset.families import REVOS
from revoskit.errors import UsageError
from revoskit.scoring.result import OVERALL, Result

BENCHMARK = "eval.yaml"
RESULTS = ".eval_results/revos.yaml"
CONFIG, SPLIT = "expressions", "validation"
TASKS = {"revos": OVERALL, "revos_referring": "referring", "revos_reasoning": "reasoning"}
"""A leaderboard for each, and the row of the published table that it ranks by its J&F."""


def benchmark_yaml() -> str:
    """The content of `eval.yaml`."""
    said = {
        "name": "ReVOS",
        "description": "Reasoning video object segmentation: the J&F of the validation split, in percent, overall (the "
        "mean of both types) and of the expressions that refer to an object and that must be reasoned out.",
        "evaluation_framework": "revoskit",
        "tasks": [{"id": task, "config": CONFIG, "split": SPLIT} for task in TASKS],
    }
    return yaml_dump(said)


def require_names(model: str, benchmark: str | None) -> None:
    """See, before anything is scored, that both can be repositories.

    Raises:
        UsageError: one is not of the form OWNER/NAME, or the benchmark is not named.
    """
    if benchmark is None:
        raise UsageError(
            "--model-card needs --benchmark OWNER/NAME: the dataset of the Hub whose leaderboard the scores are for"
        )
    for option, name in (("--model-card", model), ("--benchmark", benchmark)):
        try:
            validate_repo_id(name)
        except HFValidationError as error:
            raise UsageError(f"{option}: {error}") from None
        if name.count("/") != 1:
            raise UsageError(f"{option}: {name!r} is not of the form OWNER/NAME")


def require_whole(family: str, split: str, *, partial: bool, as_filed: bool) -> None:
    """See that scores are such as can be compared with others'.

    Raises:
        UsageError: they are not of the validation split of ReVOS, or of a part of it, or not of the data as filed.
    """
    if (family, split) != (REVOS, SPLIT):
        raise UsageError("--model-card gives scores of the validation split of ReVOS, and these are of another")
    if partial or not as_filed:
        raise UsageError(
            "--model-card gives scores of the whole split as filed: leave --only-predicted, --alignment and --faults "
            "skip out"
        )


def results_yaml(result: Result, benchmark: str) -> str:
    """The content of `.eval_results/revos.yaml`: each task's J&F, by the official protocol where that was computed.

    Raises:
        UsageError: as `require_whole`, or huggingface_hub is too old.
    """
    try:
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    except ImportError:
        raise UsageError("this huggingface_hub cannot write .eval_results: pip install -U huggingface_hub") from None
    data = result.identity.data
    require_whole(
        result.identity.family,
        result.identity.split,
        partial=result.partial,
        as_filed=not {"alignment", "faults"} & data.keys(),
    )
    protocol = result.protocols[-1]
    rows = result.rows[protocol]
    entries = [
        EvalResultEntry(
            dataset_id=benchmark,
            task_id=task,
            value=round(value, 2),
            notes=f"J&F, {protocol} protocol, {rows[row].expressions:,} expressions, revoskit {revoskit.__version__}",
        )
        for task, row in TASKS.items()
        if (value := rows[row].measures["J&F"]) is not None
    ]
    return yaml_dump(eval_result_entries_to_yaml(entries))


def write_results(result: Result, folder: Path, model: str, benchmark: str) -> str:
    """Write `.eval_results/revos.yaml` into a folder; returns what to do with it.

    Raises:
        UsageError: as `results_yaml` does.
    """
    path = folder / RESULTS
    text = results_yaml(result, benchmark)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode())
    return f"for the repository of the model: hf upload {model} {path} {RESULTS} --create-pr"
