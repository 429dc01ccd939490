"""A model as `predict` calls it: found by its name, made once a process, asked for one expression at a time.

    def predict(frames, text, row):  # or a class, made with `device` and the arguments, whose objects are called so
        return masks                 # or (masks, extra)

`frames` is a `VideoFrames`, `text` the expression, `row` a dict of video_id, expression_id, expression, height, width
and frame_names: what is known of an expression before it is understood. Its type is not among it, since that tells
whether there is anything to be found.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from revoskit.dataset.records import Expression, Video
from revoskit.errors import AdapterError, AnswerError

Adapter = Callable[..., Any]


def name_of(adapter: str | Adapter) -> str:
    """How `run.json` calls an adapter: of a file, without its folder, which may be another one on another machine."""
    if isinstance(adapter, str):
        place, _, name = adapter.rpartition(":")
        return f"{Path(place).name}:{name}" if place.endswith(".py") else adapter
    named = adapter if hasattr(adapter, "__qualname__") else type(adapter)
    return f"{named.__module__}:{named.__qualname__}"


def file_of(adapter: str | Adapter) -> str | None:
    """The file that an adapter stands in, where that can be told without importing it."""
    if isinstance(adapter, str):
        place = adapter.rpartition(":")[0]
        return place if place.endswith(".py") and Path(place).is_file() else None
    try:
        file = inspect.getsourcefile(adapter if hasattr(adapter, "__qualname__") else type(adapter))
    except (TypeError, OSError):
        return None
    return file if file is not None and Path(file).is_file() else None  # what is typed at a prompt has none


def anywhere(adapter: str | Adapter) -> str | Adapter:
    """The same adapter for a process that works in another folder."""
    file = file_of(adapter) if isinstance(adapter, str) else None
    return adapter if file is None else f"{Path(file).resolve()}:{str(adapter).rpartition(':')[2]}"


def require_portable(adapter: str | Adapter) -> None:
    """See that an adapter can be sent to another process.

    Raises:
        AdapterError: it is a function or class that another process does not find.
    """
    try:
        pickle.dumps(adapter)
    except Exception as error:  # whatever pickle, or the adapter's own pickling, may raise
        raise AdapterError(
            f"{name_of(adapter)} cannot be sent to other processes ({error}): put it into a file, and name it "
            "(file.py:name)"
        ) from None


def find(adapter: str | Adapter) -> Adapter:
    """The function or class of a name such as `file.py:name` or `package.module:name`.

    Raises:
        AdapterError: there is none, or importing it fails.
    """
    if not isinstance(adapter, str):
        return adapter
    place, _, name = adapter.rpartition(":")
    if not place or not name:
        raise AdapterError(f"the adapter is {adapter!r}: expected file.py:name or package.module:name")
    module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        raise AdapterError(f"{place} has no function or class {name!r}; it has {', '.join(own) or 'none'}")
    return found  # type: ignore[no-any-return]


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise AdapterError(f"there is no file {path} (from {Path.cwd()}) to take the adapter from")
    path = path.resolve()
    name = f"{path.stem}_{hashlib.blake2b(os.fsencode(path), digest_size=4).hexdigest()}"  # no other module has it
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # what it imports may lie beside it
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AdapterError(f"{path} cannot be imported")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _failed(f"importing {path}", error) from error
    return module


def _import_module(name: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` does
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name in (name, name.partition(".")[0]):
            file = f"{name.rpartition('.')[2]}.py"
            raise AdapterError(
                f"there is no module {error.name!r}, neither in {Path.cwd()} nor among what is installed; for a file, "
                f"say folder/{file}:name"
            ) from None
        raise _failed(f"importing {name}", error) from error


def _failed(doing: str, error: Exception) -> AdapterError:
    return AdapterError(f"{doing} fails:\n{''.join(traceback.format_exception(error)).rstrip()}")


def make(adapter: str | Adapter, arguments: Mapping[str, Any], local: int = 0) -> Adapter:
    """What is called for each expression: a function as it is, a class made with `device` and the arguments.

    Args:
        adapter: a function, a class, or the name of one.
        arguments: for the class.
        local: which of its machine's processes this is, and so which GPU is its own.

    Raises:
        AdapterError: there is no such thing, it does not take these arguments, or making it fails.
    """
    found = find(adapter)
    if not inspect.isclass(found):
        if arguments:
            raise AdapterError(
                f"{name_of(adapter)} is a function, which takes no arguments ({', '.join(arguments)}) besides: make "
                "it a class whose __init__ takes the arguments and whose __call__ it is"
            )
        return found
    keywords = dict(arguments)
    parameters = inspect.signature(found).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    unknown = [name for name in keywords if name not in parameters]
    if unknown and not open_ended:
        raise AdapterError(
            f"{name_of(adapter)} has no argument {unknown[0]!r}; it has {', '.join(parameters) or 'none'}"
        )
    if "device" in parameters or open_ended:
        keywords.setdefault("device", device(local))
    try:
        made = found(**keywords)
    except Exception as error:
        raise _failed(f"making {name_of(adapter)}", error) from error
    if not callable(made):
        raise AdapterError(f"{name_of(adapter)} has no __call__(self, frames, text, row)")
    return made


def device(local: int) -> str:
    """`cuda:N` for the machine's process number `local` where PyTorch sees a GPU, else `cpu`."""
    if importlib.util.find_spec("torch") is None:
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{local % count}" if count else "cpu"


def row_of(video: Video, expression: Expression) -> dict[str, Any]:
    """What an adapter is told of an expression."""
    return {
        "video_id": video.video_id,
        "expression_id": expression.expression_id,
        "expression": expression.text,
        "height": video.height,
        "width": video.width,
        "frame_names": list(video.frame_names),
    }


def masks_and_extra(answer: Any) -> tuple[Any, dict[str, Any] | None]:
    """An adapter's answer, which is masks or a pair of masks and what else it says.

    Raises:
        AnswerError: beside the masks is something else than a dict.
    """
    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[1], Mapping) or "counts" in answer[1]:
        if isinstance(answer, Mapping):
            raise AnswerError(
                f"expected masks, or a pair of masks and a dict, found a dict of {', '.join(map(str, answer))}"
            )
        return answer, None
    return answer[0], {str(key): value for key, value in answer[1].items()}


def parse_argument(text: str) -> tuple[str, Any]:
    """`key=value`, as `--arg` takes it: the value as JSON where it is that, else as text.

    Raises:
        AdapterError: there is no key.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise AdapterError(f"the argument is {text!r}: expected key=value")
    try:
        return key, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return key, value
