#!/usr/bin/env python3
"""Trains the demo walking policy from scratch with PPO: no teacher, no recorded motion.

    bun run train -- --minutes 60 --out out

README.md beside this file tells what comes out and how long it takes.
"""

import os

# One thread a BLAS call: the simulation has the others. Must be set before numpy is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import pickle
import sys
import tempfile
from pathlib import Path

from export import export
from ppo import Trainer


def at_least(minimum: int):
    """An argparse type: an integer from `minimum` up."""

    def integer(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{value} is less than {minimum}")
        return value

    return integer


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options = (
        ("--minutes", float, 60, "how long to train; fitting the critic comes on top"),
        ("--out", str, "out", "directory to write to; made if missing"),
        ("--resume", str, None, "train_state.pt of an earlier run, to go on from"),
        ("--envs", at_least(1), 384, "robots simulated at once"),
        ("--horizon", at_least(1), 24, "policy steps of each robot in a batch"),
        ("--threads", at_least(1), 2, "threads of the simulation"),
        ("--seed", at_least(0), 1, "of all random numbers"),
        ("--fit", at_least(1), 30, "batches for fitting the critic that is shipped"),
    )
    for flag, kind, default, text in options:
        if default is not None:
            text = f"{text} (default {default})"
        parser.add_argument(flag, type=kind, default=default, help=text)
    return parser.parse_args()


def check_paths(options: argparse.Namespace) -> None:
    """Fails now rather than after an hour."""
    if options.resume and not Path(options.resume).is_file():
        stop(f'Cannot read "{options.resume}": no such file, --resume needs a train_state.pt')
    try:
        Path(options.out).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.out):
            pass
    except OSError as error:
        stop(
            f'Cannot write to "{options.out}": {error.strerror}, name another directory with --out'
        )


def resume(trainer: Trainer, path: str) -> None:
    try:
        trainer.load(path)
    except (KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError):
        stop(f'Cannot resume from "{path}": not a train_state.pt written by this script')


def stop(message: str) -> None:
    print(message, file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    options = parse_options()
    check_paths(options)
    trainer = Trainer(options)
    if options.resume:
        resume(trainer, options.resume)
    trainer.run()
    export(trainer)
