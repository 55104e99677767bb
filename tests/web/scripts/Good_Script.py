"""Takes parameters of every kind that OMERO.web has a field for; answers a file, a number and a message."""

import sys
from pathlib import Path

import omero.scripts as scripts
from omero.gateway import BlitzGateway
from omero.rtypes import rint, rlong, robject, rstring


def run():
    client = scripts.client(
        "Good_Script.py",
        "A script that does what it should.",
        scripts.String(
            "Data_Type", optional=False, grouping="1", values=[rstring("Dataset"), rstring("Image")], default="Image"
        ),
        scripts.List("IDs", optional=False, grouping="2").ofType(rlong(0)),
        scripts.Int("Count", grouping="3", default=3, min=1, max=10),
        scripts.Float("Ratio", grouping="4", default=0.5),
        scripts.Bool("Flag", grouping="5", default=True),
        scripts.String("Text", grouping="6", default="hello"),
    )
    try:
        print(client.getInputs(unwrap=True))
        print("a warning", file=sys.stderr)
        Path("res.txt").write_text("the result\n")
        conn = BlitzGateway(client_obj=client)
        annotation = conn.createFileAnnfromLocalFile("res.txt", mimetype="text/plain")
        client.setOutput("Message", rstring("Done it"))
        client.setOutput("File_Annotation", robject(annotation._obj))
        client.setOutput("Number", rint(7))
    finally:
        client.closeSession()


if __name__ == "__main__":
    run()
