"""What is wrong with a copy: `check`, and `check --alignment`."""

from __future__ import annotations

import argparse
import sys

from tqdm import tqdm

from revoskit.cli import options
from revoskit.cli.options import Command, Parser
from revoskit.errors import UsageError


def _check_options(parser: Parser) -> None:
    options.add_root(parser)
    options.add_split(parser, None)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--frames", action="store_true", help="decode every frame instead of reading its start and end")
    how.add_argument(
        "--alignment",
        dest="examine_alignment",  # elsewhere, `alignment` is the file of an accepted one
        action="store_true",
        help="look for masks that probably belong to other frames or lie beside their objects (half a second a video)",
    )
    parser.add_argument(
        "--alignment-file",
        dest="alignment",
        type=options.path,
        metavar="FILE",
        help="accepted mappings, which other commands take as --alignment FILE: check these, too",
    )
    options.add_faults(parser, "with --alignment: ")
    parser.add_argument(
        "-o",
        "--output",
        type=options.path,
        metavar="FILE",
        help="with --alignment: write the better mappings, where there are any, for load_dataset(alignment=FILE)",
    )
    options.add_num_proc(parser)
    options.add_json(parser)


def _check(args: argparse.Namespace) -> int:
    from revoskit.checking import check

    if args.examine_alignment:
        return _check_alignment(args)
    if args.output:
        raise UsageError("--output goes with --alignment")
    if args.faults == "skip":
        raise UsageError("check lists what --faults skip would leave out; the option goes with --alignment")
    splits = [args.split] if args.split else None
    report = check.check(options.layout_of(args), splits=splits, decode=args.frames, num_proc=args.num_proc)
    if args.json:
        options.print_json(report)
    else:
        print(check.describe(report))
    return report.exit_status


def _check_alignment(args: argparse.Namespace) -> int:
    from revoskit.checking import alignment
    from revoskit.dataset.remapping import write_mapping

    if args.output and not args.output.absolute().parent.is_dir():
        raise UsageError(f"--output: {args.output.absolute().parent} is not a folder")
    scope = options.scope_of(args)
    with tqdm(total=len(set(scope.videos)), unit="video", desc="aligning", disable=None) as bar:
        found = alignment.find_misaligned(scope.layout, scope.splits, num_proc=args.num_proc, progress=bar.update)
    if args.json:
        options.print_json(found)
    else:
        print(alignment.table(found))
    if args.output:
        if mappings := alignment.better_mappings(found):
            write_mapping(args.output, mappings)
            print(f"Look at these before you accept them: {args.output}", file=sys.stderr)
        else:
            print(f"No better mapping was found for any video: {args.output} is not written", file=sys.stderr)
    if found and all(a.verdict is alignment.Verdict.UNDECIDED for a in found):
        return 2
    return 1 if any(a.verdict in alignment.ACCUSED for a in found) else 0


CHECK = Command(
    "check",
    "find everything that is wrong with a copy of the dataset",
    _check_options,
    _check,
    epilog="exit status: 0 nothing worse than notes, 1 errors, 3 warnings and no errors, 2 it could not be checked; "
    "with --alignment 0 nothing was found, 1 masks that probably lie on other frames or beside their objects, "
    "2 no video could be examined",
)
