"""Scripts of omero-scripts which read and write annotations, tables and plates: what goes in, what must come out."""

from __future__ import annotations

import numpy as np
from omero.constants.metadata import NSCLIENTMAPANNOTATION
from omero.constants.namespaces import NSBULKANNOTATIONS
from omero.rtypes import rint, rlong, unwrap

from tests.embedded.script_world import Inputs, World, rows, text

AGREEMENT = (
    "I understand what I am doing and that this will result in a batch deletion of Key-Value pairs from the server"
)

# -- key-value pairs of two images in a dataset


def pair(world: World, inputs: Inputs) -> tuple[int, int]:
    images = world.images_of(inputs["IDs"][0])
    return images["a"], images["b"]


def convert_inputs(world):
    dataset = world.pair("Convert")
    for name, image in world.images_of(dataset).items():
        world.add_pairs(image, "old", k=name)
    return {
        "Data_Type": "Dataset", "IDs": [dataset], "Target Data_Type": "-- Image",
        "Input Namespace(s) (blank for default)": ["old"], "New Namespace (blank for default)": "new",
    }  # fmt: skip


def convert_check(world, inputs, run):
    images = pair(world, inputs)
    assert [world.pairs_of(i, "new") for i in images] == [[("k", "a")], [("k", "b")]]
    assert [world.pairs_of(i, "old") for i in images] == [[], []]
    assert run.message == "Updated Key-Value pairs to 2/2 Image."


def export_inputs(world):
    dataset = world.pair("Export")
    images = world.images_of(dataset)
    world.add_pairs(images["a"], NSCLIENTMAPANNOTATION, gene="x", dose="3")
    world.add_pairs(images["b"], NSCLIENTMAPANNOTATION, gene="y")
    world.add_tag(images["b"], "good")
    return {
        "Data_Type": "Dataset", "IDs": [dataset], "Target Data_Type": "-- Image", "CSV separator": ",",
        "Include Tags": True, "Include parent container names": True,
    }  # fmt: skip


def export_check(world, inputs, run):
    one, two = pair(world, inputs)
    assert rows(text(world.conn, world.attached("Dataset", inputs["IDs"][0], "KeyVal_export"))) == [
        ["sep=", ""],
        ["DATASET", "OBJECT_ID", "OBJECT_NAME", "gene", "dose", "TAG"],
        ["Export", str(one), "a", "x", "3", ""],
        ["Export", str(two), "b", "y", "", "good"],
    ]


def import_inputs(world):
    dataset = world.pair("Import")
    world.add_tag(world.images_of(dataset)["b"], "known")
    data = "OBJECT_NAME,colour,Tag\na,red,known\nb,blue,\nnobody,green,\n"
    return {
        "Data_Type": "Dataset", "IDs": [dataset], "Target Data_Type": "-- Image",
        "File_Annotation": str(world.attach("Dataset", dataset, "in.csv", data)),
        "Namespace (blank for default or from csv)": "csv", "Columns to exclude": ["<ID>", "<NAME>", "<PARENTS>"],
    }  # fmt: skip


def import_check(world, inputs, run):
    one, two = pair(world, inputs)
    assert (world.pairs_of(one, "csv"), world.pairs_of(two, "csv")) == ([("colour", "red")], [("colour", "blue")])
    assert world.tags_of("Image", one) == ["known"]
    assert run.message.startswith("Added Annotations to 2/2 Image(s)")


def remove_inputs(world):
    dataset = world.pair("Remove")
    for image in world.images_of(dataset).values():
        world.add_pairs(image, "theirs", k="goes")
        world.add_pairs(image, "mine", k="stays")
    return {"Data_Type": "Dataset", "IDs": [dataset], "Target Data_Type": "-- Image",
            "Namespace(s) (blank for default)": ["theirs"], AGREEMENT: True}  # fmt: skip


def remove_check(world, inputs, run):
    for image in pair(world, inputs):
        assert (world.pairs_of(image, "theirs"), world.pairs_of(image, "mine")) == ([], [("k", "stays")])


def move_inputs(world):
    for image in world.plate_images:
        world.add_tag(image, f"of {image}")
    return {"IDs": [world.plate], "Annotation_Type": "Tag", "Remove_Annotations_From_Images": True}


def move_check(world, inputs, run):
    wells = world.conn.getObject("Plate", world.plate).listChildren()
    assert sorted(world.tags_of("Well", w.getId())[0] for w in wells) == [f"of {i}" for i in world.plate_images]
    assert [world.tags_of("Image", i) for i in world.plate_images] == [[], []]


# -- measurements and tables


def metadata_inputs(world):
    data = "Well,Gene,Dose\nA1,x,0.5\nA2,y,1.5\n"
    file = world.attach("Plate", world.plate, "plate.csv", data)
    return {"Data_Type": "Plate", "IDs": [world.plate], "File_Annotation": str(file)}


def metadata_check(world, inputs, run):
    wells = {w.getWellPos(): w.getId() for w in world.conn.getObject("Plate", world.plate).listChildren()}
    assert world.table(world.attached("Plate", world.plate, NSBULKANNOTATIONS)) == {
        "Well": [wells["A1"], wells["A2"]], "Gene": ["x", "y"], "Dose": ["0.5", "1.5"], "Well Name": ["a1", "a2"],
    }  # fmt: skip


def measurement_inputs(world):
    head = "Label\tRow\tCol\tNucleus Area\tCell Diam.\tCell Type\tMean Nucleus Intens.\n"
    data = f"parameters\t\n{head}1\t20\t30\t50\t7\t2\t99\n2\t60\t70\t51\t8\t2\t98\n"
    files = {"NEOlog2008-09-18-12h49m48s.txt": "finished", "Well0002_mode1_detail_2008-09-18-10h48m54s.txt": data}
    for name, text_ in files.items():
        world.attach("Plate", world.plate, name, text_, "Companion/MIAS")
    return {"Plate_ID": rlong(world.plate)}


def measurement_check(world, inputs, run):
    image = world.plate_images[1]
    rois = sorted(world.conn.getRoiService().findByImage(image, None).rois, key=lambda r: unwrap(r.getShape(0).x))
    found = [[unwrap(getattr(r.getShape(0), n)) for n in ("x", "y", "radiusX")] for r in rois]
    assert found == [[30, 20, 7], [70, 60, 8]]
    table = world.table(world.attached("Plate", world.plate, "openmicroscopy.org/omero/measurement"))
    assert table["Image"] == [image, image]
    assert sorted(table["ROI"]) == sorted(r.id.val for r in rois)
    assert sorted(table["Nucleus Area"]) == [50.0, 51.0]


# -- plates


def plate_inputs(world):
    return {"IDs": [world.parts("To plate")], "First_Axis_Count": rint(4), "Screen": "Made"}


def plate_check(world, inputs, run):
    screen = world.conn.getObject("Screen", run.outputs["New_Object"].val.id.val)
    (plate,) = screen.listChildren()
    wells = {w.getWellPos(): [s.getImage().getName() for s in w.listChildren()] for w in plate.listChildren()}
    names = [f"cell_C{c}_Z{z}_T0" for c, z in np.ndindex(2, 3)]
    assert wells == {w: [n] for w, n in zip(["A1", "A2", "A3", "A4", "B1", "B2"], names, strict=True)}
    assert (screen.getName(), plate.getName()) == ("Made", "To plate")
    assert world.images_of(inputs["IDs"][0]) == {}
