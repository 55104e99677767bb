"""``openhcs ims-export``: local images to Imaris files."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from openhcs_core.errors import OpenHCSError
from openhcs_core.imaris.compression import PRESETS
from openhcs_core.progress import Lines, Progress, ProgressMeter


def add_command(commands: Any) -> None:
    """Add ``ims-export`` to the sub-commands of a parser.

    Parameters
    ----------
    commands : argparse sub-parsers
        Each sub-command sets ``action``, a function of the options that returns the exit status.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        "ims-export",
        help="export local TIFF, OME-TIFF, OME-Zarr and NumPy files as Imaris files",
        description="Exports local images as Imaris files (.ims), without OMERO. An export that was interrupted goes "
        "on when it is started again. With bioformats_jar in openhcs.toml, Bio-Formats reads all other formats.",
    )
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="TIFF, OME-TIFF, OME-Zarr or .npy")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the .ims file; with several inputs a folder, or see --stack"
    )
    parser.add_argument(
        "--stack", choices=("C", "T", "Z"), type=str.upper, help="make one image of all inputs, along this axis"
    )
    parser.add_argument("--preset", choices=PRESETS, default="fast", help="compression (default: %(default)s)")
    parser.add_argument("--axes", help='what the axes are, such as "TZYX", where a file does not say it or is wrong')
    parser.add_argument("--series", type=int, default=1, help="number of the image in a file with several, from 1")
    parser.add_argument(
        "--voxel-size", nargs=3, type=float, metavar=("Z", "Y", "X"), help="micrometres, instead of what the file says"
    )
    parser.add_argument("--channels", nargs="+", metavar="NAME", help="names of the channels")
    parser.add_argument("--threads", type=int, help="threads that compress (default: one per CPU)")
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.set_defaults(action=export)


def export(options: argparse.Namespace) -> int:
    """Export as the options of ``ims-export`` say; return the exit status.

    Raises
    ------
    OpenHCSError
        If the options make no sense, or the only export fails. Of several the rest goes on.
    """
    if options.series < 1:
        raise OpenHCSError("--series counts from 1.")
    to_folder = options.output.is_dir() or (len(options.inputs) > 1 and not options.stack)
    if not to_folder:
        _export_one(options, options.inputs, options.output)
        return 0
    if options.output.suffix.lower() == ".ims" and not options.output.is_dir():
        raise OpenHCSError(
            f"{len(options.inputs)} images cannot become the one file {options.output}. Give a folder, or --stack."
        )
    if not options.output.is_dir():
        raise OpenHCSError(f"The folder {options.output} does not exist. Make it first.")
    groups = [options.inputs] if options.stack else [[path] for path in options.inputs]
    failed = 0
    for inputs, target in zip(groups, _targets([group[0] for group in groups], options.output), strict=True):
        try:
            _export_one(options, inputs, target)
        except OpenHCSError as error:
            failed += 1
            print(f"openhcs: {inputs[0]}: {error}", file=sys.stderr)
    if failed:
        print(f"openhcs: {failed} of {len(groups)} images were not exported", file=sys.stderr)
    return 1 if failed else 0


def _targets(inputs: list[Path], folder: Path) -> Iterator[Path]:
    """A file name for each input, each another."""
    used: dict[str, int] = {}
    for path in inputs:
        stem = path.name
        for ending in (".zarr", ".tif", ".tiff", ".npy", ".ome"):
            stem = stem[: -len(ending)] if stem.lower().endswith(ending) and len(stem) > len(ending) else stem
        used[stem] = used.get(stem, 0) + 1
        yield folder / (f"{stem}.ims" if used[stem] == 1 else f"{stem} ({used[stem]}).ims")


def _export_one(options: argparse.Namespace, inputs: list[Path], target: Path) -> None:
    from openhcs_core.imaris import ImsChannel
    from openhcs_core.local import export_image, open_image, stacked

    if target.exists() and not options.force:
        raise OpenHCSError(f"{target} exists. Give --force to replace it, or another name.")
    with contextlib.ExitStack() as opened:
        images = [
            opened.enter_context(open_image(path, axes=options.axes, series=options.series - 1)) for path in inputs
        ]
        image = stacked(images, options.stack) if options.stack else images[0]
        metadata = image.metadata
        if options.voxel_size:
            metadata = replace(metadata, voxel_size_um=tuple(options.voxel_size))
        if options.channels:
            known = metadata.channels or (ImsChannel(),) * len(options.channels)
            if len(known) != len(options.channels):
                raise OpenHCSError(f"The image has {len(known)} channels, but {len(options.channels)} names are given.")
            named = [replace(channel, name=name) for channel, name in zip(known, options.channels, strict=True)]
            metadata = replace(metadata, channels=tuple(named))
        with _progress(target) as meter:
            notes = export_image(
                image, target, metadata=metadata, preset=options.preset, meter=meter, threads=options.threads
            )
        for note in notes:
            print(f"  note: {note}")


@contextlib.contextmanager
def _progress(target: Path) -> Iterator[ProgressMeter]:
    """A progress meter that shows itself: in a terminal one line that changes, else a line now and then."""
    terminal, begin, shown = sys.stderr.isatty(), time.monotonic(), 0.0

    def change(event: Progress) -> None:
        nonlocal shown
        if time.monotonic() - shown > 0.2:
            shown = time.monotonic()
            print(f"\r{f'{event.subject}: {event}':<79}", end="", file=sys.stderr, flush=True)

    lines = Lines(lambda event: print(f"{event.subject}: {event}", file=sys.stderr, flush=True))
    try:
        yield ProgressMeter([change if terminal else lines], target.name)
    finally:
        if terminal:
            print(f"\r{'':79}\r", end="", file=sys.stderr, flush=True)
    size, seconds = target.stat().st_size, time.monotonic() - begin
    print(f"{target}: {size / 1e6:.1f} MB in {seconds:.1f} s", flush=True)
