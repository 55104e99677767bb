"""What a pipeline costs beside a bare loop with the same reads, maths and writes, and how it grows with the plate.

Run it with ``python bench/pipeline.py [--quick] [--json FILE]``. A plate of TIFF files (8 wells of 4 sites, 2 channels
and 3 sections of 1024 x 1024 uint16) is smoothed, projected along Z, thresholded and labelled; projections and labels
go to disk. Each run is in a program of its own and timed from the call to its return, so that imports do not count, but
the start of the workers does. Loop, one worker and two workers take turns; figures are medians of the ratios of each
round. Two loops at once, each over half of the plate, show what a second CPU of this machine is good for
(``speedup_2_loops``). Then plates of 8 and of 96 wells of 512 x 512 with one worker: time per well from the first event
on, and the highest memory of all processes of the run together.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

SIGMA, LEVEL = 2.0, 400
SITES, CHANNELS, SECTIONS = 4, 2, 3
LIMITS = {
    "overhead_1_worker": (1.10, "at most"),
    "speedup_2_workers": (1.7, "at least"),
    "time_per_well_96_vs_8": (1.10, "at most"),
    "memory_96_vs_8_wells": (1.10, "at most"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--json", type=Path, help="write the figures here, for machines")
    parser.add_argument("--rounds", type=int, help="how often they take turns (default: 1 with --quick, else 5)")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--work", nargs=3, metavar=("KIND", "PLATE", "OUTPUT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        kind, plate, output = args.work
        work(kind, Path(plate), Path(output))
        return
    begin, load = time.perf_counter(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        figures = overhead(Path(folder), args.rounds or (1 if args.quick else 5))
        figures |= growth(Path(folder))
    figures |= {"load_before": load, "cpus": os.cpu_count() or 1, "seconds": time.perf_counter() - begin}
    for name, value in figures.items():
        limit, word = LIMITS.get(name, (None, ""))
        print(f"{name:24} {value:10.3f}" + (f"   {word} {limit}" if limit else ""))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


def overhead(folder: Path, rounds: int) -> dict[str, float]:
    """The loop, one worker and two workers in turn."""
    plate = make_plate(folder / "plate", 8, 1024)
    halves = [folder / "odd", folder / "even"]
    for half in halves:
        half.mkdir()
    for number, path in enumerate(sorted(plate.iterdir())):
        os.link(path, halves[number // (SITES * CHANNELS * SECTIONS) % 2] / path.name)
    walls: dict[str, list[float]] = {"loop": [], "1": [], "2": [], "loops": []}
    cpus: dict[str, list[float]] = {kind: [] for kind in ("loop", "1", "2")}
    for number in range(rounds):
        for kind in ("loop", "1", "2") if number % 2 == 0 else ("2", "1", "loop"):
            measured = run(kind, plate, folder / kind)
            walls[kind].append(measured["wall"])
            cpus[kind].append(measured["cpu"])
            if number == 0 and kind == "1":
                compare(folder / "loop", folder / "1")
            shutil.rmtree(folder / "2", ignore_errors=True)
        with ThreadPoolExecutor() as both:
            outputs = [folder / "loops" / half.name for half in halves]
            walls["loops"].append(max(one["wall"] for one in both.map(run, ("loop", "loop"), halves, outputs)))
        shutil.rmtree(folder / "loops")
        for kind in ("loop", "1"):
            shutil.rmtree(folder / kind, ignore_errors=True)
    for each in (plate, *halves):
        shutil.rmtree(each)
    ratios = {
        "overhead_1_worker": [one / loop for loop, one in zip(walls["loop"], walls["1"], strict=True)],
        "speedup_2_workers": [one / two for one, two in zip(walls["1"], walls["2"], strict=True)],
        "speedup_2_loops": [one / two for one, two in zip(walls["loop"], walls["loops"], strict=True)],
    }
    figures = {name: statistics.median(values) for name, values in ratios.items()}
    names = {"loop": "loop_s", "1": "1_worker_s", "2": "2_workers_s"}
    for kind, name in names.items():
        figures |= {name: statistics.median(walls[kind]), name.replace("_s", "_cpu_s"): statistics.median(cpus[kind])}
    return figures


def growth(folder: Path) -> dict[str, float]:
    """A small and a large plate, with one worker."""
    runs = {}
    for wells in (8, 96):
        plate = make_plate(folder / "plate", wells, 512)
        runs[wells] = run("1", plate, folder / "results")
        runs[wells]["per_well"] = runs[wells]["working"] / wells
        shutil.rmtree(plate)
        shutil.rmtree(folder / "results")
    figures = {
        "time_per_well_96_vs_8": runs[96]["per_well"] / runs[8]["per_well"],
        "memory_96_vs_8_wells": runs[96]["peak_mb"] / runs[8]["peak_mb"],
    }
    for wells, values in runs.items():
        figures |= {f"{wells}_wells_s": values["wall"], f"{wells}_wells_mb": values["peak_mb"]}
    return figures


def run(kind: str, plate: Path, output: Path) -> dict[str, float]:
    """One run in a program of its own: times, and memory of all its processes at their highest."""
    import psutil

    begin, cpu = time.perf_counter(), _cpu_of_children()
    command = [sys.executable, __file__, "--work", kind, str(plate), str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peak = 0

        def watch() -> None:
            nonlocal peak
            program = psutil.Process(process.pid)
            while process.poll() is None:
                try:
                    members = [program, *program.children(recursive=True)]
                    peak = max(peak, sum(member.memory_info().rss for member in members))
                except psutil.NoSuchProcess:
                    continue
                time.sleep(0.05)

        watcher = threading.Thread(target=watch)
        watcher.start()
        told = process.communicate()[0]
        watcher.join()
    wall = time.perf_counter() - begin
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    figures = {"program": wall, "cpu": _cpu_of_children() - cpu, "peak_mb": peak / 1e6}
    return figures | json.loads(told.splitlines()[-1])


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def work(kind: str, plate: Path, output: Path) -> None:
    """What such a program does."""
    if kind == "loop":
        import scipy.ndimage  # noqa: F401
        import tifffile  # noqa: F401

        begin = time.perf_counter()
        bare_loop(plate, output)
        print(json.dumps({"wall": time.perf_counter() - begin}))
        return
    from openhcs_core.pipeline import FunctionStep, PipelineConfig
    from openhcs_core.pipeline.orchestrator import PipelineOrchestrator
    from openhcs_functions.labelling import connected_components
    from openhcs_functions.projection import max_projection
    from openhcs_functions.smoothing import gaussian
    from openhcs_functions.thresholds import threshold_fixed

    steps = [
        FunctionStep((gaussian, {"sigma": SIGMA})),
        FunctionStep(max_projection, name="projection", save=True),
        FunctionStep([(threshold_fixed, {"value": LEVEL}), connected_components], name="objects"),
    ]
    first: list[float] = []
    begin = time.perf_counter()
    config = PipelineConfig(num_workers=int(kind), output=str(output), read_from="disk")
    orchestrator = PipelineOrchestrator(plate, config)
    result = orchestrator.run_pipeline(steps, progress=lambda _: first or first.append(time.perf_counter()))
    if not result.complete:
        raise SystemExit(str([well.error for well in result.wells.values()]))
    end = time.perf_counter()
    print(json.dumps({"wall": end - begin, "working": end - first[0]}))


def bare_loop(plate: Path, output: Path) -> None:
    """The same reads, maths and writes."""
    import tifffile
    from scipy import ndimage

    for folder in ("projection", "objects"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    stacks: dict[str, list[Path]] = {}
    for path in sorted(plate.glob("*.tif")):
        stacks.setdefault(path.name.partition("_z")[0], []).append(path)
    for paths in stacks.values():
        smoothed = []
        for path in paths:
            plane = ndimage.gaussian_filter(tifffile.imread(path).astype(np.float32), SIGMA)
            smoothed.append(np.clip(np.rint(plane), 0, 65535).astype(np.uint16))
        projected = np.stack(smoothed).max(axis=0)
        labels = ndimage.label(projected > LEVEL)[0].astype(np.uint16)
        tifffile.imwrite(output / "projection" / paths[0].name, projected)
        tifffile.imwrite(output / "objects" / paths[0].name, labels)


def compare(loop: Path, ours: Path) -> None:
    """Whether both made the same."""
    import tifffile

    names = sorted(path.name for path in (loop / "projection").iterdir())
    for name in names[:: max(1, len(names) // 8)]:
        for expected, folder in ((loop / "projection", "projection"), (loop / "objects", "objects/labels")):
            if not np.array_equal(tifffile.imread(expected / name), tifffile.imread(ours / folder / name)):
                raise SystemExit(f"{folder}/{name} differs from that of the bare loop")


def make_plate(folder: Path, wells: int, size: int) -> Path:
    """Write a plate of blobs and noise; return its folder."""
    import tifffile
    from scipy import ndimage

    folder.mkdir()
    random = np.random.default_rng(1)
    spots = np.zeros((size, size), np.float32)
    spots[random.integers(0, size, size // 4), random.integers(0, size, size // 4)] = 1
    blobs = ndimage.gaussian_filter(spots, 6)
    scene = (200 + 800 * blobs / blobs.max() + random.normal(0, 20, (size, size))).astype(np.uint16)
    number = 0
    for well in range(wells):
        name = f"{chr(ord('A') + well // 12)}{well % 12 + 1:02}"
        for site in range(1, SITES + 1):
            for channel in range(1, CHANNELS + 1):
                for z in range(1, SECTIONS + 1):
                    number += 1
                    plane = np.roll(scene, (37 * number, 61 * number), (0, 1))
                    tifffile.imwrite(folder / f"{name}_s{site:03}_w{channel}_z{z:03}_t001.tif", plane)
    return folder


if __name__ == "__main__":
    main()
