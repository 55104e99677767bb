"""Runs in OMERO, and what they leave there in a form that can be compared.

Run as a program it is an OMERO.server with a plate, and answers questions on its standard input; see `answer`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from openhcs_core.errors import OpenHCSError
from openhcs_core.execution.receiving import DirectorySink
from openhcs_core.functions import processing_function
from openhcs_core.omero.login import Login
from openhcs_core.omero.pipeline_run import run_in_omero
from openhcs_core.omero.provenance import find_run
from openhcs_core.pipeline import PLATE, FunctionStep
from openhcs_core.pipeline.code import pipeline_text
from openhcs_core.pipeline.source import Pipeline, read_pipeline
from openhcs_core.pipeline.viewers import Viewers
from openhcs_core.streaming.sockets import Server
from tests.omero.plates import PlateField, write_plate
from tests.omero.run_results import fields_of, read_image
from tests.pipeline.functions import above, plus, statistics_of

HELD_S = 60.0
WELLS = ("A01", "A02", "A03", "B02")

TEXT = """\
from openhcs_core.pipeline import FunctionStep
from openhcs_functions.labelling import connected_components
from openhcs_functions.measurement import count_objects
from openhcs_functions.projection import max_projection
from openhcs_functions.smoothing import gaussian
from openhcs_functions.thresholds import threshold_fixed

pipeline_steps = [
    FunctionStep(max_projection, name="flat", save=True),
    FunctionStep((gaussian, {"sigma": 1.0}), name="soft", save=True),
    FunctionStep((threshold_fixed, {"value": 120.0}), name="bright", save=False),
    FunctionStep(connected_components, name="objects"),
    FunctionStep(count_objects, name="counts"),
]
"""
"""Text of a pipeline that makes images, masks and a table."""


@processing_function()
def held(image, folder: str):
    """Leaves a file with the id of its process, and waits until there is a file named "go"."""
    Path(folder, str(os.getpid())).touch()
    limit = time.monotonic() + HELD_S
    while not Path(folder, "go").exists() and time.monotonic() < limit:
        time.sleep(0.02)
    return image


def pipeline(*first: FunctionStep) -> Pipeline:
    """One that makes images, masks and a table."""
    steps = (
        *first,
        FunctionStep(plus, save=True),
        FunctionStep(statistics_of, name="sums"),
        FunctionStep(above, name="bright", input_source=PLATE),
    )
    return Pipeline(steps, None, pipeline_text(steps))


def import_plate(server, folder: Path, **options) -> int:
    """Id of a new plate with `WELLS`: a field each, of one channel and two sections."""
    pattern = np.arange(2 * 40 * 50, dtype="u2").reshape(1, 1, 2, 40, 50) % 251
    places = [(ord(well[0]) - ord("A"), int(well[1:]) - 1) for well in WELLS]
    wells = {place: [PlateField(pattern + 10 * number)] for number, place in enumerate(places)}
    (result,) = server.import_files([write_plate(folder / "plate.ome.tif", wells)], **options)
    return result.plate_id


def run(conn, plate: int, chosen: Pipeline, **options):
    """Run a pipeline anew; the result."""
    return run_in_omero(Login.of(conn.c), f"Plate:{plate}", chosen, workers=2, resume=False, **options)


def results_of(conn, run: str) -> dict[str, object]:
    """What a run has left in OMERO, without the ids that are its own."""
    known = find_run(conn, run)
    assert known is not None
    assert known.finished
    found: dict[str, object] = {"wells": list(known.wells)}
    for name, value in known.results.items():
        kind, _, number = value.partition(":")
        if kind == "Plate":
            images = fields_of(conn.getObject("Plate", int(number)))
            found[name] = {
                f"{well} {site}": hashlib.sha256(read_image(conn, image.getId()).tobytes()).hexdigest()
                for (well, site), image in images.items()
            }
        elif name.startswith("CSV"):
            file = conn.getObject("FileAnnotation", int(number)).getFile()
            found[name] = b"".join(file.getFileInChunks()).decode()
        elif not name.startswith("table"):
            found[name] = value
    sources = fields_of(conn.getObject("Plate", int(known.source.partition(":")[2])))
    for (well, site), image in sources.items():
        rois = conn.getRoiService().findByImage(image.getId(), None, conn.SERVICE_OPTS).rois
        ours = [roi for roi in rois if roi.description.val.startswith(f"{known.maker}:")]
        shapes = [shape for roi in ours for shape in roi.copyShapes()]
        found[f"masks {well} {site}"] = sorted(
            (shape.theZ.val, shape.x.val, shape.y.val, hashlib.sha256(shape.bytes).hexdigest()) for shape in shapes
        )
    return json.loads(json.dumps(found))


@contextmanager
def images_in(folder: str | None) -> Iterator[Viewers | None]:
    """Context manager: viewers of a run, of which one keeps all images as files; none without a folder."""
    if folder is None:
        yield None
        return
    sink = DirectorySink(folder)
    sink.open("127.0.0.1")
    try:
        yield Viewers(connect=[Server.from_text(sink.address)], everything=True)
    finally:
        sink.close()


def answer(conn, plate: int, folder: str, question: dict) -> dict:
    """What a run has left (`run`), or what a new one leaves: of a `text`, with `images` in a folder, or else held."""
    try:
        if "run" in question:
            return {"results": results_of(conn, question["run"])}
        text, images = question.pop("text", None), question.pop("images", None)
        chosen = read_pipeline(text) if text else pipeline(FunctionStep((held, {"folder": folder})))
        with images_in(images) as viewers:
            result = run(conn, plate, chosen, viewers=viewers, **question)
        assert result.complete, [well.error for well in result.wells.values()]
        return {"results": results_of(conn, result.run)}
    except OpenHCSError as error:
        return {"error": str(error)}


def main(folder: str, host: str) -> None:
    """An OMERO.server at a host, until the standard input ends."""
    from omero.gateway import BlitzGateway

    from embedded_omero import EmbeddedOmero
    from openhcs_core.omero.session import gateway

    with EmbeddedOmero(host=host, processor=False) as server:
        plate = import_plate(server, Path(folder))
        own = BlitzGateway(server.user, server.password, host=server.host, port=server.port)
        assert own.connect()
        conn = gateway(own.c)
        login = {"user": server.user, "password": server.password, "host": server.host, "port": server.port}
        print(json.dumps({"plate": plate, "login": login}), flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(conn, plate, folder, json.loads(line))), flush=True)
        own.close()


if __name__ == "__main__":
    from tests.dask.in_omero import main as imported  # by the name that workers know

    imported(*sys.argv[1:])
