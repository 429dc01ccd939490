"""What the subcommands share: how one is declared, options that mean the same everywhere, and JSON for machines."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from revoskit import workers
from revoskit.dataset.families import FAMILIES, REVOS
from revoskit.dataset.layout import EXPRESSIONS, ROOT_VARIABLE, Layout
from revoskit.errors import UsageError
from revoskit.text import as_json


class Parser(argparse.ArgumentParser):
    """Answers what was mistyped with the usage of the very command, and with the nearest word that would have done."""

    _takes_turns = True  # options and positional arguments may stand in any order, in the parser of a subcommand

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """As argparse does it, but with optional positional arguments also behind options."""
        if self._subparsers is not None or not self._takes_turns:
            return super().parse_known_args(args, namespace)
        if "--" in args:  # behind which everything is positional: argparse forgets that when it takes turns
            found, unknown = super().parse_known_args(args, namespace)
        else:
            self._takes_turns = False  # the intermixed parsing asks for the plain one in its turn
            try:
                found, unknown = super().parse_known_intermixed_args(args, namespace)
            finally:
                self._takes_turns = True
        if unknown:  # said here, since the parser above would show its own usage
            self.error(self._about_unknown(unknown))
        return found, unknown

    def _about_unknown(self, unknown: Sequence[str]) -> str:
        options = [option for action in self._actions for option in action.option_strings]
        meant = [
            nearest
            for word in unknown
            if word.startswith("-") and (nearest := _nearest(word.partition("=")[0], options))
        ]
        return f"unrecognized arguments: {' '.join(unknown)}" + (f"; did you mean {', '.join(meant)}?" if meant else "")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        nearest = _nearest(str(value), choices)
        hint = f"did you mean {nearest}? " if nearest else ""
        raise argparse.ArgumentError(action, f"there is no {str(value)!r}; {hint}expected one of {', '.join(choices)}")

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong, and leave with status 2."""
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message}\n(`{self.prog} --help` explains each)\n")


def _nearest(word: str, known: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, known, n=1)), None)


@dataclass(frozen=True)
class Command:
    """A subcommand: what it is called, what it is for, which options it has, and what it runs."""

    name: str
    summary: str
    options: Callable[[Parser], None]
    run: Callable[[argparse.Namespace], int]
    epilog: str | None = None

    def add_to(self, commands: Any) -> None:
        """Make it known to the parser of all commands."""
        parser = commands.add_parser(self.name, help=self.summary, description=self.summary, epilog=self.epilog)
        self.options(parser)
        parser.set_defaults(run=self.run)


def path(text: str) -> Path:
    """As a shell passes it: empty where a variable is not set, which must not mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, found nothing")
    return Path(text)


# --- the dataset that is meant ----------------------------------------------------------------------------------------


def add_root(parser: Parser) -> None:
    """ROOT, behind the command's own arguments, or --data-dir: where the dataset is."""
    where = f"the folder of mask_dict.json and JPEGImages/ (default: ${ROOT_VARIABLE})"
    parser.add_argument("root", metavar="ROOT", nargs="?", help=where)
    parser.add_argument("--data-dir", metavar="ROOT", help="the same, as an option")


def add_alignment(parser: Parser) -> None:
    """--alignment: which frame each mask belongs to, as somebody accepted it."""
    parser.add_argument(
        "--alignment",
        type=path,
        metavar="FILE",
        help="accepted mappings of masks to other frames than the files say, as `revoskit check --alignment` proposes",
    )


def add_names(parser: Parser) -> None:
    """--names: what to call several methods."""
    parser.add_argument("--names", nargs="+", metavar="NAME", help="of the methods (default: from their paths)")


def add_faults(parser: Parser, when: str = "") -> None:
    """--faults: what to do about what is wrong with the annotations."""
    parser.add_argument(
        "--faults",
        choices=["error", "skip"],
        default="error",
        help=f"{when}error stops at what is wrong (default), skip leaves out expressions, tracks or videos, with a "
        "warning",
    )


def add_family(parser: Parser) -> None:
    """--family: whose files the dataset's are."""
    parser.add_argument(
        "--family", choices=list(FAMILIES), default=REVOS, help=f"whose files they are (default: {REVOS})"
    )


def add_split(parser: Parser, default: str | None) -> None:
    """--split of ReVOS; all of them where `default` is null."""
    parser.add_argument("--split", choices=list(EXPRESSIONS), default=default, help=f"default: {default or 'all'}")


def add_split_of_family(parser: Parser, default: str | None) -> None:
    """--split of a family, which may have others than ReVOS."""
    said = f"{', '.join(EXPRESSIONS)}, or one of the family's own (default: {default or 'all'})"
    parser.add_argument("--split", default=default, help=said)


def layout_of(args: argparse.Namespace) -> Layout:
    """The copy of the dataset that ROOT or --data-dir names, of the family, with the alignment and without the faults.

    Raises:
        UsageError: they name two, or neither is given and $REVOS_ROOT is not set.
    """
    if args.root and args.data_dir and os.path.realpath(args.root) != os.path.realpath(args.data_dir):
        raise UsageError(f"two datasets are named, {args.root} and --data-dir {args.data_dir}: leave one out")
    chosen = {name: value for name in ("family", "alignment", "faults") if (value := getattr(args, name, None))}
    return Layout.at(args.root or args.data_dir, **chosen)


@dataclass(frozen=True)
class Scope:
    """What a command is about: a copy of the dataset, its splits, and the ids of their videos, split by split."""

    layout: Layout
    splits: list[str]
    videos: list[str]


def scope_of(args: argparse.Namespace) -> Scope:
    """The splits that --split names, or all that are there, and their videos."""
    from revoskit.dataset.annotations import open_splits

    layout = layout_of(args)
    opened = open_splits(layout, [args.split] if args.split else None)
    return Scope(layout, list(opened), [video_id for split in opened.values() for video_id in split.videos])


# --- how to work, and what to print -----------------------------------------------------------------------------------


def add_num_proc(parser: Parser) -> None:
    """--num-proc: how many processes work at a time, one for each core by default."""
    parser.add_argument(
        "--num-proc",
        type=int,
        default=workers.cores(),
        metavar="N",
        help="how many processes work at a time (default: one for each core)",
    )


def add_engine(parser: Parser) -> None:
    """--engine and --address: where the processes work."""
    parser.add_argument(
        "--engine", choices=list(workers.ENGINES), default="local", help="where to work (default: local)"
    )
    parser.add_argument("--address", help="of a running Ray cluster (default: start Ray on this machine)")


def add_json(parser: Parser) -> None:
    """--json: print for machines."""
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")


def print_json(value: Any) -> None:
    """What a command found, as indented JSON."""
    sys.stdout.write(as_json(value, indent=2).decode() + "\n")
