#!/usr/bin/env python
"""Images of plates, wells, datasets or single ones appear in napari or Fiji, as they are."""

import sys

import omero.scripts as scripts
from omero.rtypes import rlong, rstring

DATA_TYPES = ["Plate", "Well", "Dataset", "Image"]

DESCRIPTION = """Sends everything that is selected to a viewer on your desk: napari or Fiji, with the colours and \
contrast of OMERO.

Start the viewer first: `openhcs view napari` prints the address to paste here. Where this server cannot reach your \
machine, give 'listen' as address, and the key of the viewer: it comes to the server then."""


def texts(values):
    """Wrap texts for OMERO."""
    return [rstring(value) for value in values]


def run_script():
    """Tell OMERO the parameters, then do the work; return the exit status."""
    client = scripts.client(
        "Stream_To_Viewer.py",
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
            "Viewer_Address",
            grouping="03",
            description="tcp://HOST:PORT/KEY of a viewer, as `openhcs view` prints it, or 'listen'.",
        ),
        scripts.String(
            "Viewer_Key",
            grouping="04",
            description="Public key of the viewer; with 'listen', or if the address has none.",
        ),
        scripts.Int(
            "Wait_Seconds",
            grouping="05",
            min=1,
            default=120,
            description="How long to wait for the viewer to appear.",
        ),
        scripts.List("Wells", grouping="06", description="Such as B03; all wells if empty.").ofType(rstring("")),
        scripts.List("Channels", grouping="07", description="Numbers from 1, or names; all channels if empty.").ofType(
            rstring("")
        ),
        scripts.Int("First_Z", grouping="08", min=1, description="First section, from 1."),
        scripts.Int("Last_Z", grouping="09", min=1, description="Last section; the image's last if empty."),
        scripts.Int("First_T", grouping="10", min=1, description="First time point, from 1."),
        scripts.Int("Last_T", grouping="11", min=1, description="Last time point; the image's last if empty."),
        scripts.String("Message", description="What was sent, and what the viewers have of it.").out(),
        version="0.1.0",
        contact="https://forum.image.sc/tag/omero",
    )
    try:
        try:
            from openhcs_core.omero.stream_job import run
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
