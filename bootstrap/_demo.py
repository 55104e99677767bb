"""An image becomes an Imaris file, a plate goes through a pipeline while napari shows what comes out.

All of it by OMERO scripts in a real OMERO processor.
"""

from __future__ import annotations

import argparse
import csv
import getpass
import os
import re
import shutil
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bootstrap._cli import OmeroCli, launch_outputs
from bootstrap._live import LiveView
from tests.readers import read_with_bioformats, read_with_ims_reader

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "tests" / "data" / "ecoli" / "coli_nucl_ori_crop.ome.tif"
PLATE = ROOT / "tests" / "data" / "fly"
EXPORT = "/openhcs/export_scripts/IMS_Export.py"
PIPELINE = "/openhcs/pipeline_scripts/Run_Pipeline.py"
READERS: dict[str, Callable[[Path], np.ndarray]] = {
    "imaris-ims-file-reader": read_with_ims_reader,
    "Bio-Formats": lambda path: read_with_bioformats(path)[0],
}
console = Console(highlight=False, soft_wrap=True)


class DemoFailed(Exception):
    """A step did not do what it should; the message says what to do."""


@dataclass
class Login:
    """How to reach the OMERO.server of the demo."""

    host: str
    port: int
    user: str
    password: str


def main(argv: list[str] | None = None) -> int:
    """Run the demo; the exit status is 0 only if the Imaris file equals its source."""
    args = _arguments(argv)
    out = args.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    try:
        if args.server:
            host, _, port = args.server.partition(":")
            password = os.environ.get("OMERO_PASSWORD") or getpass.getpass(f"Password of {args.user} on {host}: ")
            Demo(Login(host, int(port or 4064), args.user, password), out).run()
        else:
            _embedded(out, args.keep)
    except DemoFailed as failed:
        console.print(f"[bold red]The demo failed:[/] {failed}")
        return 1
    console.print(f"Done in {time.monotonic() - start:.0f} s.")
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bootstrap/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the embedded OMERO running until Ctrl-C")
    parser.add_argument("--server", metavar="HOST[:PORT]", help="use this OMERO.server instead of the embedded one")
    parser.add_argument("--user", default="root", help="who logs in there; has to be an administrator (default: root)")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "demo_output", help="folder for results (default: demo_output)"
    )
    return parser.parse_args(argv)


def _embedded(out: Path, keep: bool) -> None:
    from embedded_omero import EmbeddedOmero

    warnings.filterwarnings("ignore", "object name is not a valid")  # PyTables, of columns with blanks in their names
    with _step("Start the embedded OMERO") as done:
        server = EmbeddedOmero().start()
        done(f"port {server.port}")
    try:
        login = Login(server.host, server.port, server.user, server.password)
        with _step("Import the sample images") as done:
            image = server.import_files([SAMPLE], dataset="Demo")[0].image_ids[0]
            plate = server.import_plate(_wells(), name="Kc167", channels=["D", "F", "R"], screen="Demo").plate_id
            done(f"Image:{image} (E. coli, 5-D), Plate:{plate} (Drosophila Kc167 cells)")
        Demo(login, out).run(image, plate)
        if keep:
            _wait(server, out)
    finally:
        server.stop()


def _wells() -> dict[str, list[list[Path]]]:
    """Two wells with one field in three channels each."""
    positions = {"A01": "002", "A02": "076"}
    return {well: [[PLATE / f"01_POS{number}_{c}.TIF" for c in "DFR"]] for well, number in positions.items()}


def _wait(server: Any, out: Path) -> None:
    """Say how to log in, and leave the server running."""
    ready = out / "login.json"
    console.print(f"""
The embedded OMERO goes on until Ctrl-C. Its password is in {ready}, which only you can read.

  .venv/bin/omero login -s {server.host} -p {server.port} -u root

  from omero.gateway import BlitzGateway
  conn = BlitzGateway("root", PASSWORD, host="{server.host}", port={server.port})
  conn.connect()
""")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server.write_ready_file(ready)
    stop.wait()
    console.print("Stopping.")
    ready.unlink(missing_ok=True)


class Demo:
    """The journey of one image, and of one plate.

    Parameters
    ----------
    login : Login
    out : Path
        Folder for the results.
    """

    def __init__(self, login: Login, out: Path) -> None:
        self.login = login
        self.out = out
        self.cli = OmeroCli(out / ".omero")

    def run(self, image: int | None = None, plate: int | None = None) -> None:
        """Register the scripts, export the image, check and show the file; run a pipeline on the plate, if any."""
        try:
            with self._connection() as conn:
                if image is None:
                    with _step("Upload the sample image") as done:
                        image = upload_sample(conn)
                        done(f"Image:{image}")
                scripts = self._register(conn)
            arguments = ("Data_Type=Image", f"IDs={image}", "Reuse_Export=false")
            outputs, seconds = self._launch(scripts[EXPORT], "IMS_Export.py", *arguments)
            path = self._download(outputs, outputs["Export_Name"])
            analysed: dict[str, str] = {}
            table = None
            if plate is not None:
                arguments = ("Data_Type=Plate", f"IDs={plate}", "Pipeline=nuclei_and_cells")
                with _step("Open napari") as done:
                    live = LiveView(self.out / "napari.png")
                    done(live.where)
                with live:
                    analysed, _ = self._launch(scripts[PIPELINE], "Run_Pipeline.py", *arguments, *live.arguments)
                    with _step("Look at what it shows") as done:
                        done(live.look())
                table = self._download(analysed, "measurements.csv")
        finally:
            shutil.rmtree(self.out / ".omero", ignore_errors=True)
        for name, read in READERS.items():
            with _step(f"Compare it with its source, by {name}") as done:
                done(f"all {compare(path, read):,} voxels are equal")
        with _step("Paint a preview") as done:
            preview = path.with_suffix(".png")
            from openhcs_core.imaris.preview import preview_png

            preview_png(path, preview, size=768, enlarge=True)
            done()
        self._summary(image, path, preview, seconds, outputs)
        if table is not None:
            _analysis(plate, table, analysed)

    @contextmanager
    def _connection(self) -> Iterator:
        import Ice
        from omero.gateway import BlitzGateway

        login = self.login
        conn = BlitzGateway(login.user, login.password, host=login.host, port=login.port, secure=True)
        try:
            try:
                reason = "" if conn.connect() else conn.getLastError()
            except Ice.Exception as error:
                reason = type(error).__name__
            if reason:
                raise DemoFailed(f"cannot log in to {login.host}:{login.port} as {login.user}: {reason}")
            yield conn
        finally:
            conn.close()

    def _register(self, conn: Any) -> dict[str, int]:
        from openhcs_core.errors import OpenHCSError
        from openhcs_core.omero.scripts import register_scripts

        with _step("Register the scripts") as done:
            try:
                outcomes = register_scripts(conn.c)
            except OpenHCSError as error:
                raise DemoFailed(str(error)) from error
            for outcome in outcomes:
                if outcome.problem:
                    raise DemoFailed(f"{outcome.path}: {outcome.problem}")
            done(", ".join(f"{o.path} ({o.action})" for o in outcomes))
        return {outcome.path: outcome.id for outcome in outcomes if outcome.id is not None}

    def _launch(self, script: int, name: str, *arguments: str) -> tuple[dict[str, str], float]:
        with _step(f"omero script launch {name}") as done:
            login = self.cli.login(self.login.host, self.login.port, self.login.user, self.login.password)
            if login.returncode:
                raise DemoFailed(f"omero login: {login.stderr.strip()}")
            start = time.monotonic()
            launch = self.cli.run("script", "launch", str(script), *arguments)
            seconds = time.monotonic() - start
            outputs = launch_outputs(launch.stdout)
            if launch.returncode or "File_Annotation" not in outputs:
                raise DemoFailed(f"the script gave no file:\n{launch.stdout}\n{launch.stderr}")
            done(outputs.get("Message", "").splitlines()[0])
        return outputs, seconds

    def _download(self, outputs: dict[str, str], name: str) -> Path:
        with _step(f"Download {name}") as done:
            annotation = re.search(r"\d+", outputs["File_Annotation"])
            if annotation is None:
                raise DemoFailed(f"no annotation in {outputs['File_Annotation']!r}")
            target = self.out / name
            target.unlink(missing_ok=True)
            result = self.cli.run("download", f"FileAnnotation:{annotation[0]}", str(target))
            if result.returncode or not target.is_file():
                raise DemoFailed(f"omero download: {result.stderr.strip()}")
            done(f"{target.stat().st_size / 1e6:.1f} MB")
        return target

    def _summary(self, image: int, path: Path, preview: Path, seconds: float, outputs: dict[str, str]) -> None:
        table = Table(title="What came out", show_header=False)
        table.add_column()
        table.add_column(overflow="fold")  # paths stay whole
        table.add_row("Source", f"Image:{image}, {SAMPLE.name}")
        table.add_row("Imaris file", str(path))
        table.add_row("Preview", str(preview))
        table.add_row("Script, start to end", f"{seconds:.1f} s")
        table.add_row("Message", outputs.get("Message", ""))
        console.print(table)


def _analysis(plate: int | None, path: Path, outputs: dict[str, str]) -> None:
    """Show what the pipeline found: objects per well."""
    with path.open(newline="") as file:
        wells = Counter(row["Well Name"] for row in csv.DictReader(file) if row["Channel"] == "1")
    table = Table(title="What the pipeline found", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("Source", f"Plate:{plate}")
    table.add_row("Nuclei", ", ".join(f"{number} in {well}" for well, number in sorted(wells.items())))
    table.add_row("Measurements", str(path))
    table.add_row("Message", outputs.get("Message", ""))
    console.print(table)


@contextmanager
def _step(title: str) -> Iterator[Callable[..., None]]:
    """Show a step while it runs, and what came of it."""
    start = time.monotonic()
    result = ""

    def done(text: str = "") -> None:
        nonlocal result
        result = text

    with console.status(title):
        try:
            yield done
        except BaseException:
            console.print(f"[red]✗[/] {title}")
            raise
    console.print(f"[green]✓[/] {title} [dim]({time.monotonic() - start:.1f} s)[/] {result}")


def source_voxels() -> np.ndarray:
    """The sample, (T, C, Z, Y, X)."""
    import tifffile

    with tifffile.TiffFile(SAMPLE) as tiff:
        series = tiff.series[0]
        order = [series.axes.index(axis) for axis in "TCZYX"]
        return series.asarray().transpose(order)


def compare(path: Path, read: Callable[[Path], np.ndarray]) -> int:
    """Number of voxels of an Imaris file, which all have to be those of the sample.

    Parameters
    ----------
    path : Path
    read : callable
        Gives the voxels (T, C, Z, Y, X) of the file.

    Raises
    ------
    DemoFailed
        If they are not.
    """
    voxels, source = read(path), source_voxels()
    if voxels.shape != source.shape or not np.array_equal(voxels, source):
        raise DemoFailed(f"{path} does not hold what the source holds: sizes {voxels.shape} and {source.shape}")
    return source.size


def upload_sample(conn: Any) -> int:
    """Make the sample image on a server through the API; its id."""
    voxels = source_voxels()
    t, c, z = voxels.shape[:3]
    planes = (voxels[i_t, i_c, i_z] for i_z in range(z) for i_c in range(c) for i_t in range(t))
    return int(conn.createImageFromNumpySeq(planes, SAMPLE.name, z, c, t, "openhcs demo").getId())


if __name__ == "__main__":
    sys.exit(main())
