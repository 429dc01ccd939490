"""The `revoskit` command: each subcommand a few lines over one function of a room.

Exit status: 0 all is well, 1 the command ran and found something wrong, 2 it could not do what was asked,
130 it was interrupted; 3 `check` found warnings and no errors. What people read goes to the terminal; `--json` gives
the same to machines.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
from tqdm import tqdm

from revoskit.dataset.families import FAMILIES, REVOS
from revoskit.dataset.layout import EXPRESSIONS, ROOT_VARIABLE, Layout
from revoskit.errors import RevosError, UsageError


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    parser = argparse.ArgumentParser(prog="revoskit", description="ReVOS: load, check, train on, score, look at.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        _add_demo,
        _add_stats,
        _add_info,
        _add_verify,
        _add_download,
        _add_unpack,
        _add_check,
        _add_evaluate,
        _add_show,
        _add_gallery,
        _add_publish,
        _add_export,
    ):
        add(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    sys.stdout = sys.stdout or io.StringIO()  # closed by who called: `>&-`
    sys.stderr = sys.stderr or io.StringIO()
    args = parser().parse_args(argv)
    try:
        status = args.run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RevosError, OSError) as error:  # such as a folder that may not be written to
        print(f"revoskit {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nrevoskit {args.command}: interrupted", file=sys.stderr)
        return 130


def _command(commands: Any, name: str, run: Any, summary: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run)
    return parser


def _path(text: str) -> Path:
    """As a shell passes it: empty where a variable is not set, which must not mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, found nothing")
    return Path(text)


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", metavar="ROOT", help=f"the folder of mask_dict.json and JPEGImages/ (default: ${ROOT_VARIABLE})"
    )


def _add_split(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument("--split", choices=list(EXPRESSIONS), default=default, help=f"default: {default or 'all'}")


def _add_family(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--family", choices=list(FAMILIES), default=REVOS, help=f"whose files they are (default: {REVOS})"
    )


def _add_split_of_family(parser: argparse.ArgumentParser, default: str | None) -> None:
    said = f"{', '.join(EXPRESSIONS)}, or one of the family's own (default: {default or 'all'})"
    parser.add_argument("--split", default=default, help=said)


def _scope(root: str | None, split: str | None, family: str = REVOS) -> tuple[Layout, list[str], list[str]]:
    """The copy that is meant, the splits of it, and the ids of their videos."""
    from revoskit.dataset.annotations import open_annotations

    layout = Layout.at(root, family)
    layout.require()
    splits = [split] if split else layout.splits()
    return layout, splits, [video_id for split in splits for video_id in open_annotations(layout, split).videos]


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")


def _print_json(value: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", _demo, "make a miniature of the dataset, load it, and show what is in it")
    parser.add_argument(
        "-o", "--output", type=_path, default=Path("revos-demo"), metavar="FOLDER", help="default: revos-demo"
    )


def _demo(args: argparse.Namespace) -> int:
    from datasets import load_dataset

    import revos
    from revoskit import demo

    layout = demo.prepare(args.output)
    cache = str(args.output / ".cache")
    print(f'>>> load_dataset("{revos.NAME}", data_dir="{args.output}")')
    expressions = load_dataset(revos.NAME, data_dir=str(layout.root), cache_dir=cache)
    videos = load_dataset(revos.NAME, "videos", data_dir=str(layout.root), cache_dir=cache)
    picture = args.output / "overlay.png"
    demo.save_picture(expressions["validation"][0], picture)
    print(f"\n{demo.describe(expressions, videos)}\n\nIts masks on its frames: {picture}")
    return 0


def _add_stats(commands: Any) -> None:
    parser = _command(commands, "stats", _stats, "count videos, expressions, tracks, frames and masks")
    _add_data_dir(parser)
    _add_family(parser)
    _add_split_of_family(parser, None)
    _add_json(parser)


def _stats(args: argparse.Namespace) -> int:
    from revoskit import stats

    layout, splits, videos = _scope(args.data_dir, args.split, args.family)
    with tqdm(total=len(videos), unit="video", desc="counting", disable=None) as bar:
        statistics = stats.measure(layout, splits, bar.update)
    if args.json:
        _print_json(statistics)
    else:
        print(stats.table(statistics))
    return 0


def _add_info(commands: Any) -> None:
    parser = _command(commands, "info", _info, "describe the dataset's configs, as in dataset_infos/")
    parser.add_argument(
        "--write",
        type=_path,
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
        _print_json({name: dataset_info.as_dict(config) for name, config in declared.items()})
    return 0


def _add_evaluate(commands: Any) -> None:
    parser = _command(commands, "evaluate", _evaluate, "score predictions: J, F, J&F, A and R as people publish them")
    parser.add_argument(
        "predictions",
        metavar="PREDICTIONS",
        help="a folder <video_id>/<expression_id>/<frame>.png, a .json of RLEs, or a table (Parquet, save_to_disk)",
    )
    _add_data_dir(parser)
    _add_split(parser, "validation")
    parser.add_argument(
        "--protocol",
        choices=["binary", "official", "both"],
        default="binary",
        help="binary: what is meant; official: what the published evaluator computes (default: binary)",
    )
    parser.add_argument("--num-proc", type=int, default=1, metavar="N", help="videos at a time (default: 1)")
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help="where to work (default: local)")
    parser.add_argument("--address", help="of a running Ray cluster (default: start Ray on this machine)")
    parser.add_argument("-o", "--output", type=_path, metavar="DIR", help="write scores.json and scores.csv there")
    parser.add_argument("--resume", action="store_true", help="go on with the run that DIR holds the videos of")
    parser.add_argument("--against-published", action="store_true", help="show the J&F among the published ones")
    _add_json(parser)


def _evaluate(args: argparse.Namespace) -> int:
    from revoskit.scoring.evaluate import evaluate

    if args.against_published and args.split != "validation":
        raise UsageError("--against-published: the published results are of the validation split")
    if args.against_published and args.json:
        raise UsageError("--against-published is a table for people: leave it or --json out")
    with tqdm(unit="video", desc="scoring", disable=None) as bar:

        def show(done: int, videos: int) -> None:
            bar.total = videos
            bar.update(done - bar.n)

        result = evaluate(
            args.predictions,
            args.data_dir,
            split=args.split,
            protocol=args.protocol,
            num_proc=args.num_proc,
            engine=args.engine,
            address=args.address,
            output=args.output,
            resume=args.resume,
            progress=show,
        )
    if args.json:
        print(result.to_json())
    else:
        print(result.table())
        if args.against_published:
            print(f"\n{result.against_published(Path(args.predictions).name)}")
        if args.output:
            print(f"\nwritten: {args.output / 'scores.json'}, {args.output / 'scores.csv'}")
    if result.missing:
        print(f"\n{result.summary()}", file=sys.stderr)
    return 1 if result.missing else 0


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", metavar="ROOT", nargs="?", help=f"the dataset's folder (default: ${ROOT_VARIABLE})")


def _add_verify(commands: Any) -> None:
    parser = _command(commands, "verify", _verify, "compare the files with the official SHA-256, count unpacked frames")
    _add_root(parser)
    _add_json(parser)


def _verify(args: argparse.Namespace) -> int:
    from revoskit.getting import checksums

    layout = Layout.at(args.root)
    with tqdm(total=checksums.bytes_to_read(layout), unit="B", unit_scale=True, desc="reading", disable=None) as bar:
        found = checksums.verify(layout, progress=bar.update)
    if args.json:
        _print_json(found)
    else:
        print(checksums.table(found))
    return 0 if found.all_official else 1


def _add_download(commands: Any) -> None:
    parser = _command(commands, "download", _download, "fetch the official files that are missing")
    _add_root(parser)
    parser.add_argument(
        "--from", dest="source", metavar="SOURCE", help="hf://datasets/<owner>/<repo>[/folder][@revision], https://… "
        "or a folder; without it, what to do by hand is printed",
    )  # fmt: skip
    _add_json(parser)


def _download(args: argparse.Namespace) -> int:
    from revoskit.getting import download

    layout = Layout.at(args.root)
    if not args.source:
        missing = download.missing(layout)
        if args.json:
            _print_json({"missing": missing})
        else:
            print(download.by_hand(layout, missing))
        return 2 if missing else 0
    arrivals = download.download(layout, args.source)
    if args.json:
        _print_json(arrivals)
    else:
        print(download.table(arrivals))
    return 0 if download.complete(arrivals) else 1


def _add_unpack(commands: Any) -> None:
    parser = _command(commands, "unpack", _unpack, "unpack the archive of frames into JPEGImages/<video_id>/")
    _add_root(parser)
    parser.add_argument("--delete", action="store_true", help="remove the archive once all of it is unpacked and sound")
    _add_json(parser)


def _unpack(args: argparse.Namespace) -> int:
    from revoskit.getting import unpack

    done = unpack.unpack(Layout.at(args.root), delete=args.delete)
    if args.json:
        _print_json(done)
    else:
        print(unpack.summary(done))
    return 1 if done.damaged else 0


def _add_check(commands: Any) -> None:
    parser = _command(commands, "check", _check, "find everything that is wrong with a copy of the dataset")
    _add_root(parser)
    _add_split(parser, None)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--frames", action="store_true", help="decode every frame instead of looking at its two ends")
    how.add_argument(
        "--alignment",
        action="store_true",
        help="look for masks that probably belong to other frames (a second a video)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=_path,
        metavar="FILE",
        help="with --alignment: write the better mappings, for load_dataset(alignment=FILE)",
    )
    parser.epilog = (
        "exit status: 0 nothing worse than notes, 1 errors, 3 warnings and no errors, 2 it could not be checked; with "
        "--alignment 0 nothing was found, 1 masks that probably lie on other frames, 2 no video could be examined"
    )
    _add_json(parser)


def _check(args: argparse.Namespace) -> int:
    from revoskit.checking import check

    if args.alignment:
        return _check_alignment(args)
    if args.output:
        raise UsageError("--output is about --alignment")
    report = check.check(Layout.at(args.root), splits=[args.split] if args.split else None, decode=args.frames)
    if args.json:
        _print_json(report)
    else:
        print(check.describe(report))
    return report.exit_status


def _check_alignment(args: argparse.Namespace) -> int:
    from revoskit.checking import alignment
    from revoskit.dataset.remapping import write_mapping

    if args.output and not args.output.absolute().parent.is_dir():
        raise UsageError(f"--output: {args.output.absolute().parent} is not a folder")
    layout, splits, videos = _scope(args.root, args.split)
    with tqdm(total=len(set(videos)), unit="video", desc="aligning", disable=None) as bar:
        found = alignment.find_misaligned(layout, splits, num_proc=os.cpu_count() or 1, progress=bar.update)
    if args.json:
        _print_json(found)
    else:
        print(alignment.table(found))
    if args.output:
        write_mapping(args.output, alignment.better_mappings(found))
        print(f"Look at these before you accept them: {args.output}", file=sys.stderr)
    if found and all(a.verdict == alignment.UNDECIDED for a in found):
        return 2
    return 1 if any(a.verdict in (alignment.MISALIGNED, alignment.UNSUPPORTED) for a in found) else 0


def _add_export(commands: Any) -> None:
    parser = _command(commands, "export", _export, "write the dataset in a layout that other code bases read")
    _add_data_dir(parser)
    _add_split(parser, None)
    parser.add_argument("--to", choices=["mevis", "ytvos", "webdataset", "coco"], required=True, help="whose layout")
    parser.add_argument("-o", "--output", type=_path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--frames",
        choices=["link", "copy", "symlink"],
        default="link",
        help="hard links, and copies where there can be none (default), always copies, or symbolic links",
    )
    parser.add_argument("--num-proc", type=int, default=1, metavar="N", help="processes (default: 1)")
    _add_json(parser)


def _export(args: argparse.Namespace) -> int:
    from revoskit import export

    layout, splits, videos = _scope(args.data_dir, args.split)
    passes = export.TARGETS[args.to].PASSES
    with tqdm(total=len(videos) * passes, unit="video", unit_scale=1 / passes, desc="exporting", disable=None) as bar:
        report = export.export(
            layout, args.to, args.output, splits, frames=args.frames, num_proc=args.num_proc, progress=bar.update
        )
    if args.json:
        _print_json(report)
    else:
        print(export.describe(report, args.output))
    return 0


def _add_publish(commands: Any) -> None:
    parser = _command(commands, "publish", _publish, "write the dataset as Parquet with a card; upload it to the Hub")
    _add_data_dir(parser)
    parser.add_argument("-o", "--output", type=_path, required=True, metavar="FOLDER", help="continued where it exists")
    parser.add_argument(
        "--frames",
        choices=["embed", "none"],
        help="put the JPEGs into `videos`, or leave them out (default: embed; none with --push)",
    )
    parser.add_argument("--configs", default="videos,expressions", help="default: videos,expressions")
    parser.add_argument("--shard-size", default="500MB", metavar="SIZE", help="of a file, at most (default: 500MB)")
    parser.add_argument("--max-side", type=int, metavar="N", help="make larger videos smaller: at most N pixels a side")
    parser.add_argument("--num-proc", type=int, default=1, metavar="N", help="shards written at a time (default: 1)")
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help="this machine, or a Ray cluster")
    parser.add_argument("--address", help="of the Ray cluster (default: one started here)")
    parser.add_argument("--push", metavar="OWNER/NAME", help="upload to this dataset of the Hugging Face Hub")
    parser.add_argument("--private", action="store_true", help="with --push: nobody else may see it")
    parser.add_argument("--yes", action="store_true", help="with --push: upload without asking")
    _add_json(parser)


def _publish(args: argparse.Namespace) -> int:
    import revos
    from revoskit.publishing import publish, push
    from revoskit.publishing.shards import Content

    target = None if args.push is None else push.Target(args.push, args.private)
    if args.private and not target:
        raise UsageError("--private is about --push OWNER/NAME")
    if args.yes and not target:
        raise UsageError("--yes is about --push OWNER/NAME")
    if target:
        if not args.yes and not sys.stdin.isatty():
            raise UsageError("an upload has to be agreed to, and there is no terminal to ask at: say --yes")
        push.check_access(target)
    content = Content(args.frames or ("none" if target else "embed"), args.max_side)
    layout = Layout.at(args.data_dir)
    configs = [config.strip() for config in args.configs.split(",")]
    shard_bytes = publish.parse_size(args.shard_size)
    plan = publish.make_plan(layout, content=content, configs=configs, shard_bytes=shard_bytes)
    with (
        contextlib.redirect_stdout(sys.stderr),  # Ray reports there, and what is printed may be read by a machine
        tqdm(total=plan.num_bytes, unit="B", unit_scale=True, desc="writing", disable=None) as bar,
    ):
        written = publish.publish(
            layout,
            args.output,
            plan,
            revos.Revos(data_dir=None).info,
            repository=args.push,
            num_proc=args.num_proc,
            engine=args.engine,
            address=args.address,
            progress=bar.update,
        )
    print(publish.describe(args.output, written), file=sys.stderr if args.json else sys.stdout)
    url = None
    if target:
        print(f"\n{push.describe(args.output, written, target, content)}", file=sys.stderr)
        if args.yes or _confirmed("Upload this?"):
            url = push.upload(args.output, written, target)
            print(f"Uploaded: {url}", file=sys.stderr if args.json else sys.stdout)
        else:
            print(f"Not uploaded. {args.output} is whole: the same command asks again.", file=sys.stderr)
    if args.json:
        _print_json(
            {
                "folder": str(args.output),
                "url": url,
                "shards": [
                    {"path": one.shard.path, "rows": one.shard.rows, "bytes": one.file_bytes} for one in written
                ],
            }
        )
    return 0


def _confirmed(question: str) -> bool:
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _add_show(commands: Any) -> None:
    parser = _command(commands, "show", _show, "draw masks on frames: a contact sheet, a GIF or an MP4")
    _add_data_dir(parser)
    _add_family(parser)
    parser.add_argument("video", metavar="VIDEO", help="a video id, such as LV-VIS/train/01020")
    parser.add_argument(
        "expression", metavar="EXPRESSION", nargs="?", help="its id within the video (default: all tracks)"
    )
    parser.add_argument("--predictions", metavar="P", help="a method's masks, to stand beside the ground truth")
    parser.add_argument("--frames", type=int, default=6, metavar="N", help="how many on a contact sheet (default: 6)")
    parser.add_argument("--fps", type=float, default=6, help="frames a second of a GIF or MP4 (default: 6)")
    parser.add_argument("--opacity", type=float, default=0.45, help="of the tint, 0 to 1 (default: 0.45)")
    parser.add_argument("--outline", type=int, default=2, metavar="PIXELS", help="0 for none (default: 2)")
    parser.add_argument(
        "-o", "--output", type=_path, metavar="FILE", help=".png, .jpg, .gif or .mp4 (default: a .png here)"
    )


def _show(args: argparse.Namespace) -> int:
    from revoskit.looking import pictures

    style = pictures.Style(args.opacity, args.outline)
    subject = pictures.find_scene(Layout.at(args.data_dir, args.family), args.video, args.expression, args.predictions)
    name = "_".join(filter(None, (args.video.replace("/", "_"), args.expression)))
    output = args.output or Path(f"{name}.png")
    with tqdm(total=subject.frame_count, unit="frame", desc="drawing", disable=None, leave=False) as bar:
        pictures.save(subject, output, frames=args.frames, fps=args.fps, style=style, progress=bar.update)
    if subject.missing_frames:
        print(f"{len(subject.missing_frames)} of {subject.frame_count} frames are not on disk", file=sys.stderr)
    if subject.hidden_split:
        print(f"{subject.hidden_split} keeps its masks back: the frames are shown without any", file=sys.stderr)
    print(output)
    return 0


def _add_gallery(commands: Any) -> None:
    parser = _command(commands, "gallery", _gallery, "write a page to look through a split, its masks and its failures")
    _add_data_dir(parser)
    _add_family(parser)
    _add_split_of_family(parser, "validation")
    parser.add_argument("--predictions", metavar="P", help="a method's masks, as `evaluate` takes them")
    parser.add_argument("--scores", metavar="DIR", help="what `revoskit evaluate` wrote for them")
    parser.add_argument(
        "--max-side", type=int, metavar="PIXELS", help="copy the frames, no larger than this (default: link them)"
    )
    parser.add_argument("--num-proc", type=int, default=os.cpu_count() or 1, metavar="N", help="default: all cores")
    parser.add_argument("-o", "--output", type=_path, required=True, metavar="FOLDER")


def _gallery(args: argparse.Namespace) -> int:
    from revoskit.dataset.annotations import open_annotations
    from revoskit.looking.gallery import write_gallery

    layout = Layout.at(args.data_dir, args.family)
    with tqdm(total=len(open_annotations(layout, args.split).videos), unit="video", disable=None) as bar:
        written = write_gallery(
            layout,
            args.split,
            args.output,
            predictions=args.predictions,
            scores=args.scores,
            max_side=args.max_side,
            num_proc=args.num_proc,
            progress=bar.update,
        )
    if written.missing_frames:
        print(f"{written.missing_frames:,} frames are not on disk; their masks show without them", file=sys.stderr)
    if written.unsized:
        print(
            f"{written.unsized:,} videos are left out: no frame of them is on disk to tell their size", file=sys.stderr
        )
    if written.hidden:
        print(f"{args.split} keeps its masks back: the frames are shown without any", file=sys.stderr)
    print(f"{written.videos:,} videos, {written.expressions:,} expressions: {written.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
