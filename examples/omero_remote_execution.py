"""A pipeline on an execution server: text goes there, images come back while they are made, results are in OMERO.

On the machine with the data, once; it prints its address:    openhcs serve

On yours:    pip install "openhcs-omero[omero]"
    export OMERO_PASSWORD=...
    python omero_remote_execution.py omero.example.org ada tcp://omero.example.org:7777/KEY

The images are shown in napari (pip install "openhcs-omero[napari]"); with --save FOLDER they become TIFF files instead.
"""

import argparse
import os

from omero.gateway import BlitzGateway

from openhcs_core.execution.remote import DirectorySink, RemoteOrchestrator, ViewerSink
from openhcs_core.pipeline import FunctionStep, StepOutput
from openhcs_functions.measurement import measure_objects
from openhcs_functions.projection import max_projection
from openhcs_functions.smoothing import gaussian
from openhcs_functions.thresholds import threshold
from openhcs_functions.watershed import split_touching

PIPELINE = [
    FunctionStep(max_projection, name="projection", save=True),
    FunctionStep([(gaussian, {"sigma": 1.0}), threshold, split_touching], name="nuclei"),
    FunctionStep(
        (measure_objects, {"labels": StepOutput("nuclei")}), name="measurements", input_source=StepOutput("projection")
    ),
]


def main():
    parser = argparse.ArgumentParser(description="Runs a pipeline on a plate of OMERO, on an execution server.")
    parser.add_argument("omero", help="host of the OMERO.server, or HOST:PORT")
    parser.add_argument("user")
    parser.add_argument("server", help="address of the execution server")
    parser.add_argument("--plate", help="name of the plate (default: the first that there is)")
    parser.add_argument("--save", metavar="FOLDER")
    given = parser.parse_args()
    host, _, port = given.omero.partition(":")
    with BlitzGateway(given.user, os.environ["OMERO_PASSWORD"], host=host, port=int(port or 4064)) as conn:
        conn.c.enableKeepAlive(60)  # the session shall last as long as the run
        plates = conn.getObjects("Plate", attributes={"name": given.plate} if given.plate else None)
        plate = next(iter(plates))
        print(f"{plate.getName()}: {plate.countChildren()} wells")
        remote = RemoteOrchestrator(given.server, omero_conn=conn)
        sink = DirectorySink(given.save) if given.save else ViewerSink("napari")
        execution = remote.run_remote_pipeline(plate.getId(), PIPELINE, sink=sink, progress=print)
        print(execution.message)
        print("Results:", *execution.results)
        for result in execution.results:
            kind, _, number = result.partition(":")
            if kind == "Plate":
                print(f"{result} is {conn.getObject(kind, int(number)).getName()}")


if __name__ == "__main__":
    main()
