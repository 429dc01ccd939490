"""From a model to its score: the tiny segmenter of train_minimal.py predicts a dataset, is killed, goes on, is scored.

    python examples/predict_minimal.py [--root FOLDER] [--checkpoint FILE]

Without --root it writes the miniature; without --checkpoint it trains the model on it first. The same file is the
adapter, so that with a checkpoint this does the same by hand:

    revoskit predict examples/predict_minimal.py:Minimal FOLDER --split train -o predictions --arg checkpoint=FILE
    revoskit evaluate predictions FOLDER --split train

Ends with status 1 if anything is done twice or lost by the kill, or if J&F stays under --bound.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

import torch
from datasets import load_dataset
from torch.nn import functional as F
from train_minimal import Segmenter, train

import revos
from revoskit import evaluate, write_miniature


class Minimal:
    """What `revoskit predict` makes once a process, and calls for every expression."""

    def __init__(self, checkpoint: str, device: str, size: int = 64) -> None:
        torch.manual_seed(0)
        self.model = Segmenter()
        self.model.load_state_dict(torch.load(checkpoint, weights_only=True))
        self.model.to(device).eval()
        self.device, self.size = device, size

    @torch.no_grad()
    def __call__(self, frames, text: str, row: dict) -> torch.Tensor:
        pixels = torch.from_numpy(frames.array(size=(self.size, self.size))).permute(0, 3, 1, 2)
        logits = self.model(pixels[None].to(self.device), [text])
        return F.interpolate(logits, (row["height"], row["width"]), mode="bilinear")[0] > 0


def make_checkpoint(root: Path, folder: Path, size: int, epochs: int) -> Path:
    """Train the model on the dataset's own training split, which is meant to be learnt by heart."""
    torch.manual_seed(0)
    rows = load_dataset(revos.NAME, data_dir=str(root), split="train", cache_dir=str(folder / "cache"))
    model = Segmenter()
    train(model, rows, size, epochs, workers=0)
    torch.save(model.state_dict(), folder / "minimal.pt")
    return folder / "minimal.pt"


def lines(output: Path) -> list[bytes]:
    """The whole lines that a run has written."""
    return [
        line for file in output.glob("*.jsonl") for line in file.read_bytes().splitlines(True) if line[-1:] == b"\n"
    ]


def predict_with_a_kill(root: Path, output: Path, checkpoint: Path, after: int) -> tuple[int, int]:
    """Run `revoskit predict`, kill it once it has written some lines, run it again.

    Returns:
        How many lines there were when it was killed, and how many there are at last.
    """
    command = [sys.executable, "-m", "revoskit.cli", "predict", f"{__file__}:Minimal", str(root), "-o", str(output)]
    command += ["--split", "train", "--arg", f"checkpoint={checkpoint}"]
    process = subprocess.Popen(command)
    while process.poll() is None and len(lines(output)) < after:
        time.sleep(0.005)
    process.kill()
    process.wait()
    written = len(lines(output))
    subprocess.run(command, check=True)
    return written, len(lines(output))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a folder in the official layout; by default a new miniature")
    parser.add_argument("--checkpoint", type=Path, help="of train_minimal's model; by default it is trained first")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--bound", type=float, default=75.0, help="J&F, in percent, that has to be reached")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = args.root or write_miniature(folder / "ReVOS").root
        checkpoint = args.checkpoint or make_checkpoint(root, folder, 64, args.epochs)
        before, after = predict_with_a_kill(root, folder / "predictions", checkpoint, after=3)
        result = evaluate(folder / "predictions", root, split="train")
    print(f"killed after {before} expressions, {after} in the end")
    print(result.table())
    reached = result.rows["binary"]["overall"].measures["J&F"] or 0.0
    if not before < after == len(result.expressions) or result.missing or reached < args.bound:
        print(f"{result.describe()}\nJ&F is {reached:.1f}; expected {args.bound:.1f} or more", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
