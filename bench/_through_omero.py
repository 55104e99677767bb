"""What OMERO costs: an export by its processor beside the writer alone, its API beside a bare loop over getPlane.

The server is the embedded one, in a process of its own on the same CPUs; it holds one OME-TIFF of camera noise.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from _camera import camera_plane
from omero.gateway import BlitzGateway

from openhcs_core.local import export_image, open_image
from openhcs_core.omero.raw_pixels import RawPixels
from openhcs_core.omero.scripts import register_scripts
from openhcs_core.omero.session import gateway, session

SIDE = 2048
SCRIPT = "/openhcs/export_scripts/IMS_Export.py"


def figures(folder: Path, quick: bool) -> dict[str, float]:
    """Export and read one image of 1 GiB, or 256 MiB if `quick`, in every way; also print what is no figure.

    Parameters
    ----------
    folder : Path
        An empty one with room for three times as much.
    quick : bool

    Returns
    -------
    dict
        ``processor_vs_pure_writer`` (time), ``api_vs_getplane_loop`` (throughput of the reader alone),
        ``api_export_vs_getplane_loop`` (with the writer), and what they are made of.
    """
    tiff = folder / "camera.ome.tif"
    size = write_image(tiff, 16 if quick else 64) / 1e6
    site = folder / "OMERO" / "etc" / "openhcs.toml"
    site.parent.mkdir(parents=True)
    exports = folder / "exports"
    exports.mkdir()
    alone, found = [], {"file": [], "api": [], "loop": [], "reader": []}
    with server(tiff, folder) as (login, image):
        script = register(login)
        for _ in range(2 if quick else 3):
            alone.append(pure_writer(tiff, folder / "pure.ims"))
            for source, mapped in (("file", ""), ("api", f'[path_map]\n"/" = "{folder}/nowhere"\n')):
                site.write_text(f'scratch = "{folder}"\nexport_dir = "{exports}"\n{mapped}')
                found[source].append(export(login, script, image, exports))
            loop, reader = read_all(login, image)
            found["loop"].append(loop)
            found["reader"].append(reader)
    file_s, file_wall = (min(times) for times in zip(*found["file"], strict=True))
    api_s, api_wall = (min(times) for times in zip(*found["api"], strict=True))
    pure_s, loop_s, reader_s = min(alone), min(found["loop"]), min(found["reader"])
    print(
        f"{size:.0f} MB through OMERO: from start to end of the script {file_wall:.2f} s with the file, "
        f"{api_wall:.2f} s with the API; the writer alone {pure_s:.2f} s"
    )
    return {
        "processor_vs_pure_writer": file_s / pure_s,
        "api_vs_getplane_loop": loop_s / reader_s,
        "api_export_vs_getplane_loop": loop_s / api_s,
        "file_mb_per_s": size / file_s,
        "api_mb_per_s": size / api_s,
        "api_reader_mb_per_s": size / reader_s,
        "getplane_loop_mb_per_s": size / loop_s,
        "pure_writer_mb_per_s": size / pure_s,
    }


def write_image(path: Path, sections: int) -> int:
    """An OME-TIFF of two channels; returns the bytes of its voxels."""
    planes = (camera_plane(0, c, z, SIDE, SIDE) for c in range(2) for z in range(sections))
    shape = (2, sections, SIDE, SIDE)
    tifffile.imwrite(path, planes, shape=shape, dtype=np.uint16, metadata={"axes": "CZYX"})
    return int(np.prod(shape)) * 2


@contextlib.contextmanager
def server(tiff: Path, folder: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """A server in a process of its own: how to log in, and the id of the image, which it has imported."""
    ready = folder / "ready.json"
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(tiff), str(ready)],
        env=os.environ | {"OMERODIR": str(folder / "OMERO")},  # one of the few variables that reach a script
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        image = int(process.stdout.readline() or sys.exit("the embedded OMERO did not start"))
        yield json.loads(ready.read_text()), image
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def serve(tiff: str, ready: str) -> None:
    from embedded_omero import EmbeddedOmero

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with EmbeddedOmero() as omero:
        (result,) = omero.import_files([tiff], transfer="ln_s")
        omero.write_ready_file(ready)
        print(result.image_ids[0], flush=True)
        stop.wait()


def register(login: dict[str, Any]) -> int:
    with session(login["host"], login["port"], user=login["user"], password=login["password"]) as client:
        return next(outcome.id for outcome in register_scripts(client) if outcome.path == SCRIPT)


def pure_writer(tiff: Path, target: Path) -> float:
    """Seconds that the writer takes for the same image, read from the same file, in a fresh process."""
    command = [sys.executable, __file__, "--write", str(tiff), str(target)]
    seconds = float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    target.unlink()
    return seconds


def write(tiff: str, target: str) -> None:
    with open_image(tiff) as image:
        begin = time.perf_counter()
        export_image(image, target)
    print(time.perf_counter() - begin)


def export(login: dict[str, Any], script: int, image: int, exports: Path) -> tuple[float, float]:
    """Seconds from the first byte of the file to its name, and from the start of the script to its end."""
    from embedded_omero.script_runner import Script

    with connected(login) as conn:
        begin = time.perf_counter()
        run = Script(conn, script, timeout=300)
        process = run.start(Image_ID=image, Delivery="Server folder", Reuse_Export=False)
        first = last = 0.0
        while process.poll() is None:
            now = time.perf_counter()
            names = {path.suffix for path in exports.rglob("*") if path.is_file()}
            first = first or (now if ".part" in names else 0.0)
            last = last or (now if ".ims" in names else 0.0)
            time.sleep(0.005)
        wall = time.perf_counter() - begin
        done = run.finish(process)
    if done.code or not first:
        sys.exit(f"the export failed: {done.message}\n{done.stderr}")
    print(f"  {done.message.splitlines()[0][:160]}", flush=True)
    for path in [path for path in exports.rglob("*") if path.is_file()]:
        path.unlink()
    return (last or begin + wall) - first, wall


def read_all(login: dict[str, Any], number: int) -> tuple[float, float]:
    """Seconds that a bare loop over getPlane takes for the image, and seconds of our reader."""
    with connected(login) as conn:
        image = conn.getObject("Image", number)
        store = conn.c.sf.createRawPixelsStore()
        store.setPixelsId(image.getPixelsId(), False)
        sections, channels = image.getSizeZ(), image.getSizeC()
        begin = time.perf_counter()
        for c in range(channels):
            for z in range(sections):
                np.frombuffer(store.getPlane(z, c, 0), ">u2").reshape(SIDE, SIDE)
        loop = time.perf_counter() - begin
        store.close()
        begin = time.perf_counter()
        pixels = RawPixels(conn, image)
        for c in range(channels):
            for z in range(0, sections, 4):
                pixels.read(0, c, z, min(z + 4, sections), 0, SIDE)
        pixels.close()
        return loop, time.perf_counter() - begin


@contextlib.contextmanager
def connected(login: dict[str, Any]) -> Iterator[BlitzGateway]:
    with session(login["host"], login["port"], user=login["user"], password=login["password"]) as client:
        yield gateway(client)


if __name__ == "__main__":
    {"--serve": serve, "--write": write}[sys.argv[1]](*sys.argv[2:])
