"""What is in the dataset: `demo`, `stats`, `info`."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from revoskit.cli import options
from revoskit.cli.options import Command, Parser


def _demo_options(parser: Parser) -> None:
    parser.add_argument(
        "-o", "--output", type=options.path, default=Path("revos-demo"), metavar="FOLDER", help="default: revos-demo"
    )


def _demo(args: argparse.Namespace) -> int:
    from datasets import load_dataset

    import revos
    from revoskit import demo

    layout = demo.prepare(args.output)
    cache = str(args.output / ".cache")
    print(">>> import revos\n>>> from datasets import load_dataset")
    print(f'>>> load_dataset("{revos.NAME}", data_dir="{args.output}")')
    expressions = load_dataset(revos.NAME, data_dir=str(layout.root), cache_dir=cache)
    videos = load_dataset(revos.NAME, "videos", data_dir=str(layout.root), cache_dir=cache)
    picture = args.output / "overlay.png"
    demo.save_picture(layout, expressions["validation"][0], picture)
    print(f"\n{demo.describe(expressions, videos)}\n\nIts masks on its frames: {picture}")
    return 0


DEMO = Command("demo", "make a miniature of the dataset, load it, and show what is in it", _demo_options, _demo)


def _stats_options(parser: Parser) -> None:
    options.add_root(parser)
    options.add_alignment(parser)
    options.add_faults(parser)
    options.add_family(parser)
    options.add_split_of_family(parser, None)
    options.add_json(parser)


def _stats(args: argparse.Namespace) -> int:
    from revoskit import stats

    scope = options.scope_of(args)
    with tqdm(total=len(scope.videos), unit="video", desc="counting", disable=None) as bar:
        statistics = stats.measure(scope.layout, scope.splits, bar.update)
    if args.json:
        options.print_json(statistics)
    else:
        print(stats.table(statistics))
    return 0


STATS = Command("stats", "count videos, expressions, tracks, frames and masks", _stats_options, _stats)


def _info_options(parser: Parser) -> None:
    parser.add_argument(
        "--write",
        type=options.path,
        metavar="FOLDER",
        nargs="?",
        const=Path("dataset_infos"),
        help="write <config>/dataset_info.json there instead of printing (default: dataset_infos)",
    )


def _info(args: argparse.Namespace) -> int:
    import revos
    from revoskit.publishing import dataset_info

    declared = {config: revos.Revos(config_name=config).info for config in revos.Revos.builder_configs}
    if args.write:
        for config in declared.values():
            print(dataset_info.write(config, args.write))
    else:
        options.print_json({name: dataset_info.as_dict(config) for name, config in declared.items()})
    return 0


INFO = Command("info", "describe the dataset's configs, as in dataset_infos/", _info_options, _info)
