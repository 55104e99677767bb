"""How fast, how lean and how dense .ims files are written, beside HDF5's own gzip and a plain write.

Run it with ``python bench/ims_export.py [--quick] [--json FILE]``. The writers take turns, several times; figures
are medians, unless said otherwise. All write from memory into fresh files on the same disk, and none waits for the
disk (fsync): what is compared is the work of the writers. The compiled loops of the package numba, where it is
installed, are loaded before. Without ``--quick`` images of 2 GB and 8 GB are written as well, made on the way, to see
whether memory grows.
Where OMERO's Python is installed, an image is exported by the script in the processor of an embedded OMERO, too.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _camera import camera_image, camera_plane

from openhcs_core.imaris import ImsWriter, kernels
from openhcs_core.imaris.compression import codec_for
from openhcs_core.imaris.hdf5 import channel_path
from openhcs_core.imaris.layout import Level, levels
from openhcs_core.imaris.pyramid import reduce_box

LIMITS = {
    "fast_vs_h5py_gzip2": (5, "at least"),
    "fast_size_vs_gzip2": (1.05, "at most"),
    "uncompressed_vs_plain_write": (0.5, "at least"),
    "peak_extra_memory_mb": (200, "at most"),
    "memory_8gb_vs_2gb": (1.1, "at most"),
    "processor_vs_pure_writer": (1.5, "at most"),
    "api_vs_getplane_loop": (1.5, "at least"),
}
QUICK_S = 22
"""After so many seconds no further round is begun with --quick."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--json", type=Path, help="write the figures here, for machines")
    parser.add_argument("--megabytes", type=int, default=512, help="size of the image (default: %(default)s MiB)")
    parser.add_argument("--rounds", type=int, help="how often each writer runs (default: 3 with --quick, else 7)")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--peak", nargs=2, metavar=("DEPTH", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        print(*peak_memory(int(args.peak[0]), Path(args.peak[1])))
        return
    begin = time.perf_counter()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        figures = compare(Path(folder), args, begin)
        figures["peak_extra_memory_mb"] = in_a_process_of_its_own(args.megabytes // 4, Path(folder))[0]
        if not args.quick:
            peaks = {}
            for size, depth in (("2gb", 512), ("8gb", 2048)):
                runs = [in_a_process_of_its_own(depth, Path(folder)) for _ in range(3)]
                extra, peaks[size] = (statistics.median(values) for values in zip(*runs, strict=True))
                figures |= {f"memory_{size}_mb": peaks[size], f"extra_memory_{size}_mb": extra}
            figures["memory_8gb_vs_2gb"] = peaks["8gb"] / peaks["2gb"]
    if importlib.util.find_spec("omero"):
        from _through_omero import figures as through_omero

        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            figures |= through_omero(Path(folder), args.quick)
    else:
        print("OMERO's Python is not installed: nothing is exported through it")
    figures |= {"load_before": load, "cpus": os.cpu_count() or 1, "seconds": time.perf_counter() - begin}
    for name, value in figures.items():
        limit, word = LIMITS.get(name, (None, ""))
        print(f"{name:32} {value:10.3f}" + (f"   {word} {limit}" if limit else ""))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


def compare(folder: Path, args: argparse.Namespace, begin: float) -> dict[str, float]:
    """The writers in turn on one image: what they took, and what came out."""
    kernels.prepare()
    shape = (1, 2, max(1, args.megabytes // 4), 1024, 1024)
    image = camera_image(shape)
    pyramid = levels(shape[2:], 2)
    reduced = [all_levels(image[0, c], pyramid) for c in range(2)]
    print(
        f"{image.nbytes / 1e6:.0f} MB uint16, {codec_for('fast', image.dtype).name}, {compiled()}, Python "
        f"{platform.python_version()}, h5py {h5py.__version__}; made in {time.perf_counter() - begin:.1f} s",
        flush=True,
    )
    target = folder / "image.ims"
    writers: dict[str, Callable[[], object]] = {
        "fast": lambda: write(image, target, "fast"),
        "h5py": lambda: write_with_h5py(reduced, pyramid, target),
        "plain": lambda: write_plainly(reduced, target),
        "uncompressed": lambda: write(image, target, "uncompressed"),
    }
    # The slow one once per round, the quick ones around it.
    order = ["plain", "uncompressed", "fast", "h5py", "fast", "uncompressed", "plain"]
    walls: dict[str, list[float]] = {name: [] for name in writers}
    cpus: dict[str, list[float]] = {name: [] for name in writers}
    sizes = {}
    for name in ("plain", "uncompressed", "fast"):  # a first time, which does not count
        writers[name]()
        target.unlink()
    for _ in range(args.rounds or (3 if args.quick else 7)):
        if args.quick and time.perf_counter() - begin > QUICK_S:
            break
        for name in order:
            wall, cpu = measured(writers[name])
            walls[name].append(wall)
            cpus[name].append(cpu)
            sizes[name] = target.stat().st_size
            target.unlink()
    wall = {name: statistics.median(times) for name, times in walls.items()}
    cpu = {name: statistics.median(times) for name, times in cpus.items()}
    figures = {
        "fast_vs_h5py_gzip2": wall["h5py"] / wall["fast"],
        "fast_size_vs_gzip2": sizes["fast"] / sizes["h5py"],
        # Of the best runs: plain writes vary tenfold with what the system does with its pages.
        "uncompressed_vs_plain_write": min(walls["plain"]) / min(walls["uncompressed"]),
        "fast_vs_h5py_gzip2_cpu": cpu["h5py"] / cpu["fast"],
        "uncompressed_vs_plain_write_cpu": cpu["plain"] / cpu["uncompressed"],
        "fast_mb_per_s": image.nbytes / 1e6 / wall["fast"],
        "uncompressed_mb_per_s": image.nbytes / 1e6 / wall["uncompressed"],
    }
    for name in writers:
        figures |= {f"{name}_s": wall[name], f"{name}_cpu_s": cpu[name], f"{name}_runs": len(walls[name])}
        figures |= {f"{name}_best_s": min(walls[name]), f"{name}_mb": sizes[name] / 1e6}
    return figures


def write(image: np.ndarray, path: Path, preset: str) -> None:
    with ImsWriter(path, image.shape, image.dtype, preset=preset, durable=False) as writer:
        for t, c in np.ndindex(image.shape[:2]):
            writer.write_volume(t, c, lambda z0, z1, y0, y1, volume=image[t, c]: volume[z0:z1, y0:y1])


def write_with_h5py(reduced: list[list[np.ndarray]], pyramid: list[Level], path: Path) -> None:
    """The levels, which are there already, by HDF5's own filters."""
    with h5py.File(path, "w") as file:
        for c, arrays in enumerate(reduced):
            for number, (array, level) in enumerate(zip(arrays, pyramid, strict=True)):
                name = f"{channel_path(number, 0, c)}/Data"
                file.create_dataset(
                    name, data=array, chunks=level.chunks, compression="gzip", compression_opts=2, shuffle=True
                )


def write_plainly(reduced: list[list[np.ndarray]], path: Path) -> None:
    """The same voxels, one after the other, in the fastest way there is."""
    block = 1 << 20  # with larger ones some kernels take several times as long
    with path.open("wb", buffering=0) as file:
        for arrays in reduced:
            for array in arrays:
                content = memoryview(array).cast("B")
                for begin in range(0, len(content), block):
                    file.write(content[begin : begin + block])


def all_levels(volume: np.ndarray, pyramid: list[Level]) -> list[np.ndarray]:
    arrays = [volume]
    for level in pyramid[1:]:
        z, y, x = (size * factor for size, factor in zip(level.shape, level.factors, strict=True))
        arrays.append(reduce_box(np.ascontiguousarray(arrays[-1][:z, :y, :x]), level.factors))
    return arrays


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and seconds of CPU, of some work."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def in_a_process_of_its_own(depth: int, folder: Path) -> tuple[float, float]:
    command = [sys.executable, __file__, "--peak", str(depth), str(folder / "image.ims")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    (folder / "image.ims").unlink()
    extra, peak = done.stdout.split()
    return float(extra), float(peak)


def peak_memory(depth: int, path: Path) -> tuple[float, float]:
    """Memory in MB that an export of 2 × `depth` planes of 1024 × 1024 adds to a program that has done a small one.

    The second figure is the peak of the whole program. The planes are made on the way; what that needs counts as well.
    """
    kernels.prepare()
    tile = np.stack([camera_plane(0, 0, z, 1024, 1024) for z in range(4)])

    def read(z0: int, z1: int, y0: int, y1: int) -> np.ndarray:
        slab = np.empty((z1 - z0, y1 - y0, 1024), np.uint16)
        for z in range(z0, z1):
            np.add(tile[z % 4, y0:y1], np.uint16(z % 251), out=slab[z - z0])
        return slab

    def export(depth: int) -> None:
        with ImsWriter(path, (1, 2, depth, 1024, 1024), np.uint16, durable=False) as writer:
            writer.write_volume(0, 0, read)
            writer.write_volume(0, 1, read)

    export(1)
    before = highest_use()
    export(depth)
    return highest_use() - before, highest_use()


def highest_use() -> float:
    """The most memory this process has used, in MB. (getrusage counts that of the parent before the start.)"""
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def compiled() -> str:
    if kernels.ready():
        return "numba"
    return "numba unusable" if importlib.util.find_spec("numba") else "no numba"


if __name__ == "__main__":
    main()
