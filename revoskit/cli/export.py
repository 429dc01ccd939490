"""The dataset for other code bases: `export`."""

from __future__ import annotations

import argparse

from tqdm import tqdm

from revoskit.cli import options
from revoskit.cli.options import Command, Parser


def _export_options(parser: Parser) -> None:
    options.add_root(parser)
    options.add_alignment(parser)
    options.add_faults(parser)
    options.add_split(parser, None)
    parser.add_argument("--to", choices=["mevis", "ytvos", "webdataset", "coco"], required=True, help="whose layout")
    parser.add_argument("-o", "--output", type=options.path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--frames",
        choices=["link", "copy", "symlink"],
        default="link",
        help="hard links, and copies where there can be none (default), always copies, or symbolic links",
    )
    options.add_num_proc(parser)
    options.add_json(parser)


def _export(args: argparse.Namespace) -> int:
    from revoskit import export

    scope = options.scope_of(args)
    passes = export.TARGETS[args.to].PASSES
    total = len(scope.videos) * passes
    with tqdm(total=total, unit="video", unit_scale=1 / passes, desc="exporting", disable=None) as bar:
        report = export.export(
            scope.layout,
            args.to,
            args.output,
            scope.splits,
            frames=args.frames,
            num_proc=args.num_proc,
            progress=bar.update,
        )
    if args.json:
        options.print_json(report)
    else:
        print(export.describe(report, args.output))
    return 0


EXPORT = Command("export", "write the dataset in a layout that other code bases read", _export_options, _export)
