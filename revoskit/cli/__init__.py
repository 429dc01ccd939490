"""The `revoskit` command: each subcommand a few lines over one function of a wing.

Exit status: 0 all is well, 1 the command ran and found something wrong, 2 it could not do what was asked,
130 it was interrupted, 143 it was terminated; 3 `check` found warnings and no errors. What people read goes to the
terminal; `--json` gives the same to machines.

A new subcommand is a function and its options in the file of its group, and a line in `COMMANDS`.
"""

from __future__ import annotations

import argparse
import io
import os
import sys

from revoskit import __version__
from revoskit.cli import checking, export, getting, inference, looking, overview, publishing, scoring
from revoskit.cli.options import Command, Parser
from revoskit.cli.terminal import guarded
from revoskit.errors import RevosError
from revoskit.workers import Terminated, termination_raised

COMMANDS: tuple[Command, ...] = (  # in the order of work
    overview.DEMO,
    getting.DOWNLOAD,
    getting.VERIFY,
    getting.UNPACK,
    checking.CHECK,
    overview.STATS,
    overview.INFO,
    looking.SHOW,
    looking.GALLERY,
    looking.REVIEW,
    inference.PREDICT,
    inference.CONVERT,
    inference.LMMS_EVAL,
    scoring.EVALUATE,
    scoring.COMPARE,
    publishing.PUBLISH,
    export.EXPORT,
)


def parser() -> Parser:
    """What can be typed."""
    parser = Parser(
        prog="revoskit", description="ReVOS, reasoning video object segmentation: get it, check it, score, look at it."
    )
    parser.add_argument("--version", action="version", version=f"revoskit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    return parser


def overview_of_commands() -> str:
    """What there is to do, a line each, and where to begin."""
    lines = [f"  {command.name:<10} {command.summary}" for command in COMMANDS]
    return "\n".join(
        [
            "ReVOS, reasoning video object segmentation: get it, check it, score, look at it.\n",
            *lines,
            "\nTo try it, without the real data:     revoskit demo -o ReVOS\n"
            "All that a command can do, for one:    revoskit evaluate --help",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Run what was typed, and return the exit status."""
    sys.stdout = sys.stdout or io.StringIO()  # closed by who called: `>&-`
    sys.stderr = sys.stderr or io.StringIO()
    if not (sys.argv[1:] if argv is None else argv):
        print(overview_of_commands())
        return 2
    with guarded():
        return _run(parser().parse_args(argv))


def _run(args: argparse.Namespace) -> int:
    try:
        with termination_raised():
            status: int = args.run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RevosError, OSError) as error:  # such as a folder that may not be written to
        print(f"revoskit {args.command}: {error}", file=sys.stderr)
        return 2
    except Terminated:
        print(f"\nrevoskit {args.command}: terminated", file=sys.stderr)
        return 143
    except KeyboardInterrupt:
        print(f"\nrevoskit {args.command}: interrupted", file=sys.stderr)
        return 130
