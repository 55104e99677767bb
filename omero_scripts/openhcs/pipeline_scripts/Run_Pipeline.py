#!/usr/bin/env python
"""Image-analysis pipelines on plates, wells, datasets and images; the results go back into OMERO."""

import sys

import omero.scripts as scripts
from omero.rtypes import rlong, rstring

DATA_TYPES = ["Plate", "Well", "Dataset", "Image"]
PIPELINES = ["nuclei", "nuclei_and_cells", "segmentation_3d", "max_projection", "mosaic"]

DESCRIPTION = """Runs a pipeline on everything that is selected, where the pixels are.

Images become a derived plate (dataset) with the same wells and fields, objects become masks on the images, \
measurements become tables. A map annotation keeps the pipeline, so that every result can be made again.

The pipeline is one of those that come with this script, or a text: attached in OMERO, or pasted.

A run that was interrupted goes on when it is started again. Started from the command line: write Resume=false to \
switch that off; every other word but 0 means yes."""


def texts(values):
    """Wrap texts for OMERO."""
    return [rstring(value) for value in values]


def run_script():
    """Tell OMERO the parameters, then do the work; return the exit status."""
    client = scripts.client(
        "Run_Pipeline.py",
        DESCRIPTION,
        scripts.String(
            "Data_Type",
            grouping="01",
            values=texts(DATA_TYPES),
            default=DATA_TYPES[0],
            description="What the IDs are.",
        ),
        scripts.List("IDs", grouping="02", description="Ids of plates, wells, datasets or images.").ofType(rlong(0)),
        scripts.String(
            "Pipeline",
            grouping="03",
            values=texts(PIPELINES),
            default=PIPELINES[0],
            description="Comes with this script; counts if there is neither File_Annotation nor Pipeline_Text.",
        ),
        scripts.String(
            "File_Annotation",
            grouping="04",
            description="Id of an attached file with the text of a pipeline (.py), instead of Pipeline.",
        ),
        scripts.String(
            "Pipeline_Text",
            grouping="05",
            description="Text of a pipeline, instead of Pipeline; statements on one line are separated by semicolons.",
        ),
        scripts.List("Wells", grouping="06", description="Such as B03; all wells if empty.").ofType(rstring("")),
        scripts.Int("Workers", grouping="07", min=1, default=1, description="Wells that are worked on at a time."),
        scripts.Bool("Save_Images", grouping="08", default=True, description="Images, as a derived plate or dataset."),
        scripts.Bool("Save_Masks", grouping="09", default=True, description="Objects, as masks on the images."),
        scripts.Bool("Save_Tables", grouping="10", default=True, description="Measurements, as tables."),
        scripts.Bool(
            "Resume",
            grouping="11",
            default=True,
            description="Go on after the wells that an earlier run of the same pipeline has finished.",
        ),
        scripts.String(
            "Viewer_Address",
            grouping="12",
            description="Shows results live: tcp://HOST:PORT/KEY of a viewer, as `openhcs view` prints it, "
            "or 'listen' for viewers to come.",
        ),
        scripts.String(
            "Viewer_Key",
            grouping="13",
            description="Public key of the viewer; with 'listen', or if the address has none.",
        ),
        scripts.String("Message", description="What was done, and what is worth knowing.").out(),
        scripts.Object("Plate", description="The first derived plate.").out(),
        scripts.Object("Dataset", description="The first derived dataset.").out(),
        scripts.Object("File_Annotation", description="The first table, or the log.").out(),
        version="0.1.0",
        contact="https://forum.image.sc/tag/omero",
    )
    try:
        try:
            from openhcs_core.omero.pipeline_job import run
        except ImportError as error:
            return not_installed(client, error)
        return run(client)
    finally:
        client.closeSession()


def not_installed(client, error):
    """Say how to install what is missing; return the exit status."""
    state = "not installed" if (error.name or "").startswith("openhcs_core") else f"not completely installed ({error})"
    message = (
        f"openhcs-omero is {state} in the Python of this OMERO processor ({sys.executable}). "
        f'Install it with: {sys.executable} -m pip install "openhcs-omero[omero,pipelines]"'
    )
    print(message, file=sys.stderr)
    client.setOutput("Message", rstring(message))
    return 1


if __name__ == "__main__":
    sys.exit(run_script())
