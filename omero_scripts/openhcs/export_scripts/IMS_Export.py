#!/usr/bin/env python
"""Imaris files (.ims) of images, attached to them in OMERO or put into a folder of the server."""

import sys

import omero.scripts as scripts
from omero.rtypes import rlong, rstring

DATA_TYPES = ["Image", "Dataset", "Well", "Plate"]
LAYOUTS = ["One file per image", "Mosaic per well", "Mosaic per plate"]
DELIVERIES = ["Attach to image", "Server folder", "Both"]
PRESETS = ["fast", "small", "uncompressed"]

DESCRIPTION = """Makes an Imaris file (.ims) of every selected image: all resolution levels, calibration in \
micrometres, channel names and colours, times.

Fields of wells can become one file per well or per plate instead: a mosaic.

The file is attached to the image (well, plate), put into a folder of the server, or both. An earlier export is used \
again as long as neither the image nor the options have changed.

Started from the command line: write Reuse_Export=false to switch that off; every other word but 0 means yes."""


def texts(values):
    """Wrap texts for OMERO."""
    return [rstring(value) for value in values]


def run_script():
    """Tell OMERO the parameters, then do the work; return the exit status."""
    client = scripts.client(
        "IMS_Export.py",
        DESCRIPTION,
        scripts.String(
            "Data_Type",
            grouping="01",
            values=texts(DATA_TYPES),
            default="Image",
            description="What the IDs are: all images of a dataset, well or plate are exported.",
        ),
        scripts.List("IDs", grouping="02", description="Ids of images, datasets, wells or plates.").ofType(rlong(0)),
        scripts.Long("Image_ID", grouping="03", description="Id of a single image, instead of Data_Type and IDs."),
        scripts.String(
            "Layout",
            grouping="04",
            values=texts(LAYOUTS),
            default=LAYOUTS[0],
            description="A mosaic shows the fields of a well by their position, the wells as on their plate.",
        ),
        scripts.String(
            "Delivery",
            grouping="05",
            values=texts(DELIVERIES),
            default=DELIVERIES[0],
            description="Where the Imaris file goes. The folder is set by the administrator of the server.",
        ),
        scripts.String(
            "Compression",
            grouping="06",
            values=texts(PRESETS),
            default=PRESETS[0],
            description="fast suits most; small takes longer; uncompressed opens fastest in Fiji.",
        ),
        scripts.Bool(
            "Reuse_Export", grouping="07", default=True, description="Use an earlier export if it is still valid."
        ),
        scripts.List("Channels", grouping="08", description="Numbers from 1, or names; all channels if empty.").ofType(
            rstring("")
        ),
        scripts.Int("First_Z", grouping="09", min=1, description="First section, from 1."),
        scripts.Int("Last_Z", grouping="10", min=1, description="Last section; the image's last if empty."),
        scripts.Int("First_T", grouping="11", min=1, description="First time point, from 1."),
        scripts.Int("Last_T", grouping="12", min=1, description="Last time point; the image's last if empty."),
        scripts.String("Message", description="What was done, and what is worth knowing.").out(),
        scripts.Object("File_Annotation", description="The first attached file.").out(),
        scripts.String("Export_Path", description="Where the first file is on the server.").out(),
        scripts.String("Export_Name", description="Name of the first file.").out(),
        version="0.1.0",
        contact="https://forum.image.sc/tag/omero",
    )
    try:
        try:
            from openhcs_core.omero.ims_export import run
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
        f'Install it with: {sys.executable} -m pip install "openhcs-omero[omero]"'
    )
    print(message, file=sys.stderr)
    client.setOutput("Message", rstring(message))
    return 1


if __name__ == "__main__":
    sys.exit(run_script())
