"""How good predictions are, and which are better: `evaluate`, `compare`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from revoskit.cli import options
from revoskit.cli.options import Command, Parser
from revoskit.dataset.families import REVOS
from revoskit.errors import UsageError


def _evaluate_options(parser: Parser) -> None:
    parser.add_argument(
        "predictions",
        metavar="PREDICTIONS",
        help="what `predict` writes, a folder <video_id>/<expression_id>/<frame>.png, a .json of RLEs, or a table "
        "(Parquet, save_to_disk)",
    )
    parser.add_argument("--more", nargs="+", default=[], metavar="P", help="further parts of the same predictions")
    options.add_root(parser)
    options.add_alignment(parser)
    options.add_faults(parser)
    options.add_family(parser)
    options.add_split_of_family(parser, "validation")
    parser.add_argument(
        "--protocol",
        choices=["binary", "official", "both"],
        default="binary",
        help="binary: what is meant; official: what the published evaluator computes (default: binary)",
    )
    options.add_num_proc(parser)
    options.add_engine(parser)
    parser.add_argument(
        "-o", "--output", type=options.path, metavar="DIR", help="write scores.json and scores.csv there"
    )
    parser.add_argument("--resume", action="store_true", help="continue the unfinished run whose results are in DIR")
    parser.add_argument(
        "--only-predicted",
        action="store_true",
        help="leave out what has no prediction: a partial score, marked as such",
    )
    parser.add_argument("--against-published", action="store_true", help="show the J&F among the published ones")
    parser.add_argument(
        "--model-card",
        metavar="OWNER/MODEL",
        help="write DIR/.eval_results/revos.yaml, with which a model's repository on the Hub says how it scores",
    )
    parser.add_argument(
        "--benchmark", metavar="OWNER/NAME", help="with --model-card: the dataset on the Hub that has the leaderboard"
    )
    parser.add_argument("--slices", action="store_true", help="show the scores by source, size, motion and so on, too")
    parser.add_argument("--extra", action="store_true", help="score in the measures of other benchmarks, too")
    parser.add_argument(
        "--exclude",
        type=options.path,
        metavar="FILE",
        help="give the means without the videos that FILE names as well: a list, or a report of `check --alignment`",
    )
    parser.add_argument(
        "--verdicts",
        type=options.path,
        metavar="FILE",
        help="what `check --alignment --json` printed: what it found about each video is one of the slices",
    )
    options.add_json(parser)


@contextlib.contextmanager
def _scoring() -> Iterator[Callable[[int, int], None]]:
    """A bar that shows how many videos are scored."""
    with tqdm(unit="video", desc="scoring", disable=None) as bar:

        def show(done: int, videos: int) -> None:
            bar.total = videos
            bar.update(done - bar.n)

        yield show


def _require_card(args: argparse.Namespace) -> None:
    """See, before anything is scored, that a model's card can be written, if one is asked for."""
    if not args.model_card:
        if args.benchmark:
            raise UsageError("--benchmark goes with --model-card OWNER/MODEL")
        return
    from revoskit.publishing import eval_results

    eval_results.require_names(args.model_card, args.benchmark)
    as_filed = args.alignment is None and args.faults == "error"
    eval_results.require_whole(args.family, args.split, partial=args.only_predicted, as_filed=as_filed)
    if not args.output:
        raise UsageError("--model-card writes a file: say where with -o DIR")


def _evaluate(args: argparse.Namespace) -> int:
    from revoskit.scoring.evaluate import evaluate

    if args.against_published and (args.family, args.split) != (REVOS, "validation"):
        raise UsageError("--against-published: the published results are of the validation split")
    if args.against_published and args.alignment:
        raise UsageError("--against-published: the published results are of the frames as filed, without --alignment")
    if args.against_published and args.json:
        raise UsageError("--against-published is a table for people: leave it or --json out")
    if args.against_published and args.only_predicted:
        raise UsageError("--against-published compares whole splits: leave it or --only-predicted out")
    _require_card(args)
    layout = options.layout_of(args)
    with _scoring() as show:
        result = evaluate(
            [args.predictions, *args.more] if args.more else args.predictions,
            layout.root,
            family=args.family,
            split=args.split,
            protocol=args.protocol,
            alignment=layout.alignment,
            extra=args.extra,
            exclude=args.exclude,
            verdicts=args.verdicts,
            faults=layout.faults,
            num_proc=args.num_proc,
            engine=args.engine,
            address=args.address,
            output=args.output,
            resume=args.resume,
            only_predicted=args.only_predicted,
            progress=show,
        )
    if args.json:
        print(result.to_json())
    else:
        print(result.table())
        if args.slices:
            print(f"\n{result.table_of_slices()}")
        if args.against_published:
            print(f"\n{result.against_published(Path(args.predictions).name)}")
        if args.output:
            print(f"\nwritten: {args.output / 'scores.json'}, {args.output / 'scores.csv'}")
    if args.model_card:
        from revoskit.publishing import eval_results

        then = eval_results.write_results(result, args.output, args.model_card, args.benchmark)
        print(f"\n{then}", file=sys.stderr if args.json else sys.stdout)
    if said := result.describe():
        print(f"\n{said}", file=sys.stderr)
    return 1 if result.found_wanting else 0


EVALUATE = Command(
    "evaluate", "score predictions: J, F, J&F, A and R as people publish them", _evaluate_options, _evaluate
)


def _compare_options(parser: Parser) -> None:
    parser.add_argument(
        "methods",
        metavar="METHOD",
        nargs="+",
        help="two or more: predictions as `evaluate` takes them, or DIR of an earlier `evaluate -o DIR`; behind them "
        "may stand ROOT",
    )
    parser.add_argument("--data-dir", metavar="ROOT", help="the dataset, where predictions are still to be scored")
    options.add_alignment(parser)
    options.add_faults(parser)
    options.add_family(parser)
    options.add_split_of_family(parser, "validation")
    parser.add_argument("--protocol", choices=["binary", "official"], default="binary", help="default: binary")
    options.add_names(parser)
    parser.add_argument("--slices", action="store_true", help="compare by source, size, motion and so on, too")
    parser.add_argument("--shown", type=int, default=5, metavar="N", help="wins and losses of each pair (default: 5)")
    options.add_num_proc(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=options.path,
        metavar="DIR",
        help="write comparison.json and .csv, differences.csv and all scores there",
    )
    options.add_json(parser)


def _compare(args: argparse.Namespace) -> int:
    from revoskit.scoring.compare import compare
    from revoskit.scoring.predictions import is_a_dataset

    if args.shown < 0:
        raise UsageError(f"--shown is {args.shown}: expected 0 or more expressions")
    if args.data_dir is None and is_a_dataset(args.methods[-1]):
        args.data_dir = args.methods.pop()
    with _scoring() as show:
        comparison = compare(
            args.methods,
            args.data_dir,
            names=args.names,
            family=args.family,
            split=args.split,
            protocol=args.protocol,
            alignment=args.alignment,
            faults=args.faults,
            num_proc=args.num_proc,
            output=args.output,
            progress=show,
        )
    if args.json:
        print(comparison.to_json(slices=args.slices))
    else:
        print(comparison.table(args.shown))
        if args.slices:
            print(f"\n{comparison.table_of_slices()}")
    if said := comparison.describe():
        print(f"\n{said}", file=sys.stderr)
    return 0


COMPARE = Command(
    "compare",
    "say which method is better, with intervals and p values that take the video as the unit",
    _compare_options,
    _compare,
)
