"""How much faster a GPU runs the pipeline of ``bench/pipeline.py``: whole runs from disk to disk, and the maths alone.

Run it with ``python bench/gpu.py [--quick] [--json FILE]``. Where CuPy finds no GPU it says so, and that is all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pipeline import LEVEL, SIGMA, make_plate

from openhcs_core.functions import spec_of
from openhcs_core.pipeline import FunctionStep, PipelineConfig
from openhcs_core.pipeline.gpu import cupy, gpu_count
from openhcs_core.pipeline.orchestrator import PipelineOrchestrator
from openhcs_core.plugins import function


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller plate, and fewer rounds")
    parser.add_argument("--json", type=Path, help="write the figures here, for machines")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    args = parser.parse_args()
    figures: dict[str, float] = {"gpus": gpu_count()}
    if gpu_count():
        name = cupy().cuda.runtime.getDeviceProperties(0)["name"].decode()
        print(f"{gpu_count()} GPUs, the first {name}")
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            figures |= runs(Path(folder), 2 if args.quick else 8, 1 if args.quick else 3)
        figures |= maths(3 if args.quick else 10)
    else:
        print("CuPy finds no GPU on this machine: nothing to compare")
    for key, value in figures.items():
        print(f"{key:24} {value:10.3f}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


def steps(package: str) -> list[FunctionStep]:
    """The pipeline with the functions of a package."""
    gaussian, projection, threshold, components = (
        function(f"{package}.{name}").function
        for name in (
            "smoothing.gaussian",
            "projection.max_projection",
            "thresholds.threshold_fixed",
            "labelling.connected_components",
        )
    )
    return [
        FunctionStep((gaussian, {"sigma": SIGMA})),
        FunctionStep(projection, name="projection", save=True),
        FunctionStep([(threshold, {"value": LEVEL}), components], name="objects"),
    ]


PACKAGES = {"cpu": "openhcs_functions", "gpu": "openhcs_functions.gpu"}


def runs(folder: Path, wells: int, rounds: int) -> dict[str, float]:
    """Whole runs with one worker, in turn."""
    plate = make_plate(folder / "plate", wells, 1024)
    seconds: dict[str, list[float]] = {kind: [] for kind in PACKAGES}
    for number in range(rounds + 1):  # the first compiles kernels, and does not count
        for kind, package in PACKAGES.items():
            config = PipelineConfig(output=str(folder / f"{kind}{number}"), read_from="disk")
            result = PipelineOrchestrator(plate, config).run_pipeline(steps(package))
            if not result.complete:
                raise SystemExit(str([well.error for well in result.wells.values()]))
            if number:
                seconds[kind].append(result.seconds)
    wall = {kind: statistics.median(values) for kind, values in seconds.items()}
    return {"run_gpu_vs_cpu": wall["cpu"] / wall["gpu"], "run_cpu_s": wall["cpu"], "run_gpu_s": wall["gpu"]}


def maths(rounds: int) -> dict[str, float]:
    """The functions on one stack that is in the right memory, and the copies there and back."""
    stack = np.random.default_rng(0).integers(0, 1000, (3, 1024, 1024), np.uint16)
    chains = {
        kind: [
            (spec_of(call), parameters)
            for step in steps(package)
            for call, parameters in [item if isinstance(item, tuple) else (item, {}) for item in _listed(step.func)]
        ]
        for kind, package in PACKAGES.items()
    }
    arrays = {"cpu": stack, "gpu": cupy().asarray(stack)}
    seconds: dict[str, list[float]] = {kind: [] for kind in (*PACKAGES, "copies")}
    for number in range(rounds + 1):
        for kind, chain in chains.items():
            begin = time.perf_counter()
            _apply(chain, arrays[kind])
            cupy().cuda.Device().synchronize()
            if number:
                seconds[kind].append(time.perf_counter() - begin)
        begin = time.perf_counter()
        cupy().asarray(stack).get()
        seconds["copies"].append(time.perf_counter() - begin)
    wall = {kind: statistics.median(values) for kind, values in seconds.items()}
    figures = {"maths_gpu_vs_cpu": wall["cpu"] / wall["gpu"]}
    return figures | {f"stack_{kind}_ms": 1e3 * value for kind, value in wall.items()}


def _listed(func: Any) -> list[Any]:
    return func if isinstance(func, list) else [func]


def _apply(chain: list[tuple[Any, Any]], stack: Any) -> None:
    planes = list(stack)
    for spec, parameters in chain:
        if spec.axes == "YX":
            planes = [spec.function(plane, **parameters) for plane in planes]
        else:
            planes = [spec.function(cupy().stack(planes) if hasattr(planes[0], "get") else np.stack(planes))]


if __name__ == "__main__":
    main()
