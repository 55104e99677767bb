"""The command ``omero`` prints what it printed on an OMERO.server, for every recorded command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from omero.gateway import BlitzGateway

from embedded_omero import EmbeddedOmero
from tests.embedded import images
from tests.embedded.transcript import ForkedCli, Transcript

CASES = json.loads((Path(__file__).parent / "data" / "cli.json").read_text())["cases"]
SCRIPTS = {
    "Good_Script.py": '''
import sys
import omero
import omero.scripts as scripts
from omero.rtypes import rlong, robject, rstring

client = scripts.client(
    "Good_Script.py", "A good script.",
    scripts.String("Data_Type", optional=False, description="what", values=[rstring("Dataset"), rstring("Image")]),
    scripts.List("IDs", optional=False, description="ids").ofType(rlong(0)),
    scripts.Int("Count", description="a count", default=3, min=1, max=10),
    scripts.Float("Ratio", min=0.0, max=1.0),
    scripts.String("Text", description="free text"),
    scripts.Bool("Flag", default=True),
    version="1.2.3", authors=["A. Author", "B. Author"], institutions=["Inst"], namespaces=["omero.x"],
)
print("hello stdout", sorted(client.getInputs(unwrap=True).items()))
print("hello stderr", file=sys.stderr)
client.setOutput("Message", rstring("Done it"))
client.setOutput("Number", rlong(7))
note = client.sf.getUpdateService().saveAndReturnObject(omero.model.FileAnnotationI())
client.setOutput("File_Annotation", robject(note))
client.closeSession()
''',
    "Bad_Script.py": """import omero.scripts as scripts
client = scripts.client('Bad_Script.py', 'fails', scripts.Long('X', default=1))
print('before')
raise ValueError('boom')
""",
    "Quiet_Script.py": """
import omero.scripts as scripts
from omero.rtypes import rstring
client = scripts.client("Quiet_Script.py", "says little", scripts.Long("X", optional=False))
client.setOutput("Message", rstring(f"quiet {client.getInput('X', unwrap=True)}"))
client.closeSession()
""",
    "Syntax_Error.py": "import omero.scripts as scripts\ndef (:\n    pass\n",
}  # fmt: skip
SCRIPTS["Good2.py"] = SCRIPTS["Good_Script.py"].replace("1.2.3", "1.2.4")
# Ids which were masked in the arguments.
BLANKS = {
    **dict.fromkeys(("obj get", "obj get field", "obj update", "obj get after", "obj null", "tag link"), ["1"]),
    **dict.fromkeys(("download Image", "download Fileset", "download again", "fs ls"), ["1"]),
    **dict.fromkeys(("delete dataset", "delete with wait off"), ["1"]),
    **dict.fromkeys(("download to dir", "delete one image of fileset", "delete images"), ["18"]),
    **dict.fromkeys(("obj get missing", "download missing", "delete missing"), ["99999"]),
    "obj new link": ["1", "1"],
    "script params OriginalFile:": ["246"],
    "delete --dry-run report": ["18"],
    "chgrp": ["17"],
}
UPLOADS = {
    "script upload user": "245",
    "script upload official": "246",
    "script upload Bad_Script.py": "248",
    "script upload Quiet_Script.py": "250",
}
PLATE = "plate&plates=1&plateRows=2&plateCols=2&fields=2&plateAcqs=1.fake"


@pytest.fixture(scope="module")
def transcript(tmp_path_factory):
    """All recorded commands, run one after the other."""
    folder = tmp_path_factory.mktemp("cli")
    with EmbeddedOmero(password="omero") as server, ForkedCli(folder / "home") as cli:
        World(server, folder).fill()
        for name, text in {**SCRIPTS, "up.txt": "to be uploaded\n"}.items():
            (cli.folder / name).write_text(text)
        repositories = server.core.repositories
        made = Transcript(
            CASES,
            {
                f"{server.host}:{server.port}": "<host>:<port>",
                str(repositories.managed): "<repo>",
                str(repositories.scripts.parent): "<home>/lib",
                str(repositories.root): "<data>",
            },
        )
        elsewhere = [log_in(server, name, group) for name, group in (("alice", "ro"), ("bob", "ra"))]
        made.run(cli.run, BLANKS, UPLOADS, {"<host>": server.host, "<port>": str(server.port)})
        for conn in elsewhere:
            conn.close()
    return made


def log_in(server, name, group):
    conn = BlitzGateway(name, "secret", host=server.host, port=server.port, group=group, useragent="OMERO.py")
    assert conn.connect()
    return conn


class World:
    """What was on the server when the commands were recorded, in so far as they show it."""

    def __init__(self, server, folder):
        self.server, self.core, self.folder = server, server.core, folder

    def fill(self):
        accounts = self.core.accounts
        levels = {"ra": "rwra--", "ro": "rwr---", "pr": "rw----", "rw": "rwrw--"}
        groups = [accounts.add_group(name, level) for name, level in levels.items()]
        for name in ("alice", "bob"):
            accounts.add_user(name, name.capitalize(), "Test", [*groups, accounts.group("user")], "secret")

        gray, three = images.slope(10, 12), images.three(self.folder)[0]
        self.load(images.five_d(self.folder)[0])
        self.plate(1, 2, 7, 8, 3, 4, 5, 6)
        gone = [self.load(three), self.load(self.tiff("plain.tif", gray)), self.load(self.two_channels())]
        self.load(self.tiff("ij.tif", gray, imagej=True), size=5120)
        self.load(three)
        self.load(self.tiff("rgb.tif", np.zeros((16, 20, 3), "u1"), photometric="rgb"), size=2048)
        for group in ("ro", "pr", "rw"):
            self.load(three, group=group)
        self.load(self.tiff("big.ome.tif", gray), "bob", "rw", size=256 << 20)
        self.plate(1, 2, 5, 6, 7, 8, 3, 4)
        conn = log_in(self.server, "alice", "ra")
        conn.deleteObjects("Fileset", [result.fileset_id for result in gone], wait=True)
        conn.close()

    def tiff(self, name, data, **options):
        tifffile.imwrite(self.folder / name, data, **options)
        return self.folder / name

    def two_channels(self):
        """Three images with two channels each."""
        path = self.folder / "multi.ome.tiff"
        with tifffile.TiffWriter(path, ome=True) as writer:
            for _ in range(3):
                writer.write(np.zeros((2, 16, 16), "u1"), photometric="minisblack", metadata={"axes": "CYX"})
        return path

    def load(self, path, user="alice", group="ra", size=None):
        """Import a file; rows of it say that it has another size, if one is given."""
        (result,) = self.server.import_files(path, user=user, group=group)
        fileset = self.core.store.get("Fileset", result.fileset_id)
        for entry in self.core.store.where("FilesetEntry", fileset=fileset):
            if size is not None:
                self.core.store.set(entry["originalFile"], "size", size)
        return result

    def plate(self, *order):
        """A plate whose images have ids in this order."""
        path = images.ome_plate_file(self.folder, 2, 2, 2)[0].rename(self.folder / PLATE)
        for id, number in zip(self.load(path, size=0).image_ids, order, strict=True):
            name = f"{PLATE} [plate {number}]".replace(" 1]", "]")
            self.core.store.set(self.core.store.get("Image", id), "name", name)


@pytest.mark.parametrize("name", CASES)
def test_prints_as_recorded(transcript, name):
    assert transcript.differences(name) == {}


TABLE = " id  | Name   \n-----+--------\n {} | {} \n({} rows)\n"


@pytest.mark.parametrize(
    ("name", "want", "got", "equal"),
    [
        ("x", TABLE.format(246, "a", 1), TABLE.format(12, "a  ", 1), True),  # columns may have other widths
        ("x", TABLE.format(246, "a", 1), TABLE.format(12, "b", 1), False),
        ("x", TABLE.format(246, "a", 1), TABLE.format(12, "a", 2), False),
        ("x", "id 246, again 246", "id 12, again 12", True),
        ("x", "id 246, again 246", "id 12, again 13", False),
        ("x", "id 7", "id 8", False),
        ("x", "Image:<id>, <n> rows", "Image:7, 0 rows", True),
        ("x", "Image:<id>", "Image:none", False),
        ("x", "a\nb\n", "a\nb\nc\n", False),
        ("x", "a\nc\n...", "a\nb\nc\nd\n", True),
        ("x", "a\nc\n...", "c\na\nb\n", False),
        ("script list", " 1 | /a\n 2 | /b\n(2 rows)", " 2 | /b\n 1 | /a\n(2 rows)", True),
        ("fs sets", " 1 | /a\n 2 | /b\n(2 rows)", " 2 | /b\n 1 | /a\n(2 rows)", False),
    ],
)
def test_comparison(name, want, got, equal):
    transcript = Transcript({name: {"args": "", "rc": 0, "stdout": want, "stderr": ""}}, {})
    transcript.printed[name] = {"rc": 0, "stdout": got, "stderr": ""}
    assert (transcript.differences(name) == {}) is equal


def test_exit_status_counts():
    transcript = Transcript({"x": {"args": "", "rc": 3, "stdout": "", "stderr": ""}}, {})
    transcript.printed["x"] = {"rc": 0, "stdout": "", "stderr": ""}
    assert transcript.differences("x") == {"rc": (3, 0)}
