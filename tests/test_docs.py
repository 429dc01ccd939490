"""What the README and the docs say is true: their Python runs, and their commands can be typed."""

import contextlib
import inspect
import io
import json
import re
import shlex
from pathlib import Path

import pytest

from revoskit import Clips
from revoskit.cli import parser
from revoskit.miniature import write_miniature

REPOSITORY = Path(__file__).parent.parent
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_every_python_block_runs(page, tmp_path, monkeypatch):
    for side, small in {"height": 72, "width": 128}.items():
        monkeypatch.setitem(write_miniature.__kwdefaults__, side, small)  # of those that the page writes, too
    write_miniature(tmp_path / "ReVOS")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__docs__"}
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), namespace)


def test_the_notebook_runs_and_prints_what_it_says_it_prints(tmp_path, monkeypatch, really_long_video):
    notebook = REPOSITORY / "examples" / "revos.ipynb"
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__notebook__"}
    for cell in cells:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("".join(cell["source"]), notebook.name, "exec"), namespace)
        kept = [text for output in cell["outputs"] if output["output_type"] == "stream" for text in output["text"]]
        assert printed.getvalue() == "".join(kept)
    assert notebook.stat().st_size < 60_000


def test_every_parameter_of_clips_stands_in_the_table_with_its_default():
    page = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| `?\"?(\w+)\"?`? \|", page, re.MULTILINE))
    words = {None: {"none", "half", "all"}, True: {"true"}, False: {"false"}}
    parameters = inspect.signature(Clips).parameters
    assert list(rows) == list(parameters)
    for name, parameter in parameters.items():
        default = parameter.default
        known = words.get(default) if default is None or isinstance(default, bool) else {str(default)}
        assert rows[name] in known, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_can_be_typed(page):
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for command in line.split("&&"):
                words = shlex.split(command, comments=True)
                if words[:1] == ["revoskit"]:
                    parser().parse_args(words[1 : words.index(">") if ">" in words else None])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
