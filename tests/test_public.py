"""The names that `revoskit` offers: all are there, none costs anything before it is asked for."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import revoskit

REPOSITORY = Path(__file__).parent.parent
PROMISED = [
    "open_annotations",
    "Layout",
    "Annotations",
    "Video",
    "Expression",
    "ExpressionType",
    "MaskSequence",
    "Clips",
    "collate",
    "evaluate",
    "Evaluator",
    "Result",
    "RevosError",
    "__version__",
]


def test_every_promised_name_is_listed():
    assert set(PROMISED) <= set(revoskit.__all__) <= set(dir(revoskit))


@pytest.mark.parametrize("name", sorted({*PROMISED, *revoskit.__all__}))
def test_each_name_imports(name):
    exec(f"from revoskit import {name}", found := {})
    assert found[name] is getattr(revoskit, name)


def test_a_name_that_is_not_there_is_an_error_as_anywhere():
    with pytest.raises(AttributeError, match="module 'revoskit' has no attribute 'Clip'"):
        revoskit.Clip  # noqa: B018


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_importing_revoskit_imports_no_library():
    heavy = ["datasets", "torch", "cv2", "numpy", "PIL", "pyarrow", "msgspec"]
    assert run(f"import sys, revoskit; print([name for name in {heavy} if name in sys.modules])") == "[]"


def test_a_command_starts_without_what_few_commands_need():
    needless = ["requests", "urllib3", "ssl", "filelock", "datasets", "pyarrow", "pandas", "scipy", "torch"]
    code = f"import sys, revoskit.cli, revoskit.scoring.evaluate; print([n for n in {needless} if n in sys.modules])"
    assert run(code) == "[]"


def test_the_star_imports_every_name_and_a_module_by_its_own_right():
    code = "from revoskit import *; import revoskit; print(set(revoskit.__all__) - set(globals()), export.__name__)"
    assert run(code) == "set() revoskit.export"


def test_the_stub_says_nothing_but_names():
    stub = ast.parse((REPOSITORY / "revoskit" / "__init__.pyi").read_text(encoding="utf-8"))
    for line in stub.body:
        if isinstance(line, ast.ImportFrom):  # `import name as name` is what a type checker takes for an offer
            assert [alias.asname for alias in line.names] == [alias.name for alias in line.names]
        else:
            assert ast.unparse(line) == "__version__: str"


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{page.name}" for page in (REPOSITORY / "docs").glob("*.md"))])
def test_the_documentation_imports_public_names_only(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for line in ast.walk(ast.parse("\n".join(blocks))):
        if isinstance(line, ast.Import):
            assert not [alias.name for alias in line.names if alias.name.startswith("revoskit.")]
        elif isinstance(line, ast.ImportFrom) and line.module.split(".")[0] == "revoskit":
            assert line.module == "revoskit"
            assert {alias.name for alias in line.names} <= set(revoskit.__all__)


def test_the_version_stands_in_one_place():
    assert 'version = { attr = "revoskit.__version__" }' in (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert re.fullmatch(r"\d+\.\d+\.\d+", revoskit.__version__)
