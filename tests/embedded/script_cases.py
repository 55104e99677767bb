"""What the scripts of omero-scripts are given, and what must come out: one row of `CASES` for each run."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import omero.model as model
import tifffile
from omero.constants.metadata import NSCLIENTMAPANNOTATION
from omero.constants.namespaces import NSBULKANNOTATIONS
from omero.rtypes import rint, rlist, rlong, unwrap
from PIL import Image

from tests.embedded.script_world import (
    JPEG,
    Run,
    World,
    content,
    displayed,
    distance,
    ellipse,
    line,
    planes,
    points,
    position,
    rectangle,
    text,
)  # fmt: skip

Inputs = dict[str, Any]
BOX = (58, 12, 30, 40)  # x, y, width, height: around one bacterium
AGREEMENT = (
    "I understand what I am doing and that this will result in a batch deletion of Key-Value pairs from the server"
)


def rows(data: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data)))


def picture(world: World, run: Run) -> np.ndarray:
    """The picture which a script attached, shape (Y, X, 3)."""
    return np.asarray(Image.open(io.BytesIO(content(world.conn, run.file_id()))))


def made(world: World, run: Run, name: str) -> np.ndarray:
    """Pixels of an image which a script made, axes TCZYX."""
    return planes(world.image(run.outputs[name].val.id.val))


def boxed(stack: np.ndarray, x: int) -> np.ndarray:
    """Cut ``BOX``, moved to an x, out of planes of shape (..., Y, X)."""
    return stack[..., BOX[1] : BOX[1] + BOX[3], x : x + BOX[2]]


def moving_box(world: World, *times: int, z: int) -> None:
    """Let the movie have one rectangle on each of these frames, which moves by one pixel a frame."""
    x, *rest = BOX
    world.only_roi(world.movie, *(rectangle(x + t, *rest, z=z, t=t, label="FigureROI") for t in times))


# -- analysis: images with lines


def kymograph_inputs(world):
    world.only_roi(world.spot, line(4, 4, 56, 56))
    return {"IDs": [world.spot], "Line_Width": 4}


def kymograph_check(world, inputs, run):
    found = made(world, run, "New_Image")[0, 0, 0]
    assert found.shape == (4 * 4, 73)
    for t, row in enumerate(found.reshape(4, 4, 73).mean(axis=1)):
        assert abs(np.average(np.arange(73), weights=row) - np.sqrt(2) * (10 * t + 10 - 4)) < 1.5
    assert world.image(run.outputs["New_Image"].val.id.val).getName() == "spot_kymograph"


def analysis_inputs(world):
    world.only_roi(world.dna, line(10, 10, 40, 30), points(model.PolylineI, [(0, 0), (4, 8), (20, 12)]))
    return {"IDs": [world.dna]}


def analysis_check(world, inputs, run):
    found = rows(text(world.conn, run.file_id("Line_Data")))
    numbers = [[float(v) for v in row if v] for row in found[6:] if len(row) > 1]
    assert numbers == [[10, 10, 30, 40, 20, 30, 1.5], [0, 0, 8, 4, 8, 4, 0.5, 0.5], [8, 4, 12, 20, 4, 16, 4, 20 / 12]]


def profile_inputs(world):
    world.only_roi(world.plate_images[0], line(20, 40, 60, 40))
    return {"IDs": world.plate_images[:1], "Line_Width": 2, "Sum_or_Average": "Sum"}


def profile_check(world, inputs, run):
    image = planes(world.image(world.plate_images[0]))
    expected = image[0, :, 0, 39:41, 20:60].sum(axis=1, dtype=int)
    found = rows(text(world.conn, run.file_id("Line_Data")))[1:]
    assert [[int(v) for v in row[5:]] for row in found] == expected.tolist()


# -- annotations: key-value pairs of two images in a dataset


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


# -- export


def batch_inputs(world):
    return {"IDs": [world.movie], "Format": "PNG", "Choose_Z_Section": "ALL Z planes",
            "Choose_T_Section": "Other (see below)", "OR_specify_T_index": rint(2)}  # fmt: skip


def batch_check(world, inputs, run):
    name = "coli_nucl_ori_crop.ome.tif_{}_z{:02}_t02.png"
    with zipfile.ZipFile(io.BytesIO(content(world.conn, run.file_id()))) as found:
        names = {name.format(c, z) for c in ("c00", "c01", "merged") for z in range(1, 6)}
        assert set(found.namelist()) == names | {"Batch_Image_Export.txt"}
        for z in range(5):
            for label, channels in (("c00", [0]), ("c01", [1]), ("merged", [0, 1])):
                shown = np.asarray(Image.open(io.BytesIO(found.read(name.format(label, z + 1)))))
                assert distance(shown, displayed(world.pixels, world.pixels[1, :, z], channels)) < JPEG


def tiff_inputs(world):
    return {"IDs": [world.movie], "Format": "OME-TIFF"}


def tiff_check(world, inputs, run):
    with zipfile.ZipFile(io.BytesIO(content(world.conn, run.file_id()))) as found:
        data = found.read("coli_nucl_ori_crop.ome.tif.ome.tif")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.series[0].axes == "TCZYX"
        np.testing.assert_array_equal(file.asarray(), world.pixels)
        assert 'PhysicalSizeX="0.5"' in file.ome_metadata


def statistics_inputs(world):
    world.only_roi(
        world.movie, rectangle(10, 20, 30, 8, z=2, t=1, label="box"), ellipse(50, 40, 8, 5, z=0, t=3),
        points(model.PolygonI, [(5, 5), (25, 5), (5, 25)], z=0, t=0), points(model.PolylineI, [(5, 5), (25, 5)]),
    )  # fmt: skip
    return {"IDs": [world.movie], "Export_All_Planes": True, "Channels": rlist([rint(1), rint(2)])}


def statistics_check(world, inputs, run):
    head, *found = rows(text(world.conn, run.file_id()))
    y, x = np.mgrid[:96, :96]
    areas = {
        "rectangle": (x >= 10) & (x < 40) & (y >= 20) & (y < 28),
        "ellipse": (((x + 0.0005 - 50) / 8) ** 2 + ((y + 0.0005 - 40) / 5) ** 2) < 1,
        "polygon": (x >= 5) & (y >= 5) & (x + y < 30),
        "polyline": (y == 5) & (x >= 5) & (x <= 25),
    }
    assert len(found) == 2 * (3 + 5 * 4)
    for row in (dict(zip(head, values, strict=True)) for values in found):
        plane = world.pixels[int(row["t"]) - 1, int(row["channel"].removeprefix("C:")), int(row["z"]) - 1]
        values = plane[areas[row["type"]]].astype(float)
        expected = [len(values), values.min(), values.max(), values.sum(), values.mean(), values.std(ddof=1)]
        np.testing.assert_allclose(
            [float(row[n]) for n in ("points", "min", "max", "sum", "mean", "std_dev")], expected
        )
    assert float(dict(zip(head, found[0], strict=True))["area (µm)"]) == 30 * 8 * 0.25


def movie_inputs(world):
    return {"IDs": [world.movie], "Z_Start": rint(1), "Z_End": rint(1), "Format": "MPEG", "Show_Plane_Info": False,
            "T_End": rint(3), "Movie_Name": "cells"}  # fmt: skip


def movie_check(world, inputs, run):
    with zipfile.ZipFile(io.BytesIO(content(world.conn, run.file_id()))) as frames:
        assert frames.namelist() == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
        for t in range(4):
            frame = np.asarray(Image.open(io.BytesIO(frames.read(f"{t + 1}.jpg"))))
            assert distance(frame, displayed(world.pixels, world.pixels[t, :, 1])) < JPEG
    assert world.conn.getObject("OriginalFile", run.file_id()).getName() == "cells.avi"


# -- figures


def shown(world: World, t: int, z: int | slice = slice(None), channels=(0, 1), x: int | None = None) -> np.ndarray:
    """A frame as it is displayed, or the box of it at x; of several planes the brightest pixels."""
    stack = world.pixels[t, :, z]
    stack = stack.max(axis=1) if stack.ndim == 4 else stack
    return displayed(world.pixels, stack if x is None else boxed(stack, x), channels)


def movie_figure_inputs(world):
    return {"IDs": [world.movie], "T_Indexes": rlist([rint(0), rint(2)]), "Z_Start": rint(0), "Z_End": rint(4),
            "Format": "PNG"}  # fmt: skip


def movie_figure_check(world, inputs, run):
    found = picture(world, run)
    (x1, y1), (x2, y2) = position(found, shown(world, 0)), position(found, shown(world, 2))
    assert (x2 - x1, y2) == (96 + 5, y1)


def movie_roi_inputs(world):
    moving_box(world, 0, 1, 2, z=2)
    return {"IDs": [world.movie], "Format": "PNG"}


def movie_roi_check(world, inputs, run):
    found = picture(world, run)
    corners = [position(found, shown(world, t, 2, x=BOX[0] + t)) for t in range(3)]
    assert [x for x, _ in corners] == sorted({x for x, _ in corners})
    assert len({y for _, y in corners}) == 1


def roi_split_inputs(world):
    moving_box(world, 1, z=2)
    return {"IDs": [world.movie], "Format": "PNG", "Split_Indexes": rlist([rint(0), rint(1)]), "ROI_Zoom": 1.0}


def roi_split_check(world, inputs, run):
    found = picture(world, run)
    left, right = (position(found, shown(world, 1, 2, c, x=BOX[0] + 1)) for c in ([0], [0, 1]))
    assert right[0] > left[0] + BOX[2]


def split_view_inputs(world):
    return {"IDs": [world.movie], "Format": "PNG", "Z_Start": rint(0), "Z_End": rint(4)}


def split_view_check(world, inputs, run):
    found = picture(world, run)
    columns = [position(found, shown(world, 0, channels=c))[0] for c in ([0], [1], [0, 1])]
    assert np.diff(columns).tolist() == [101, 101]


def thumbnail_inputs(world):
    return {"Data_Type": "Dataset", "IDs": [world.dataset], "Format": "PNG", "Thumbnail_Size": 96}


def thumbnail_check(world, inputs, run):
    position(picture(world, run), shown(world, 0, 2))
    assert run.message.endswith("attached to dataset Movies.")


# -- import


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


# -- utilities


def offsets_inputs(world):
    shifts = {"Channel1_Z_shift": 1, "Channel2_X_shift": 5, "Channel2_Y_shift": -3}
    return {"IDs": [world.movie], "Channel_3": False, "Channel_4": False, **{n: rint(v) for n, v in shifts.items()}}


def offsets_check(world, inputs, run):
    expected = np.zeros_like(world.pixels)
    expected[:, 0, 1:] = world.pixels[:, 0, :-1]
    expected[:, 1, :, :-3, 5:] = world.pixels[:, 1, :, 3:, :-5]
    np.testing.assert_array_equal(made(world, run, "Image"), expected)


def combine_inputs(world):
    return {"Data_Type": "Dataset", "IDs": [world.parts("Combine")]}


def combine_check(world, inputs, run):
    np.testing.assert_array_equal(made(world, run, "Combined_Image"), world.pixels[:1, :, :3])
    image = world.image(world.images_of(inputs["IDs"][0])["combinedImage"])
    assert [c.getName() for c in image.getChannels()] == ["0", "1"]
    assert [c.getWindowMax() for c in image.getChannels()] == [world.pixels[0, c, :3].max() for c in range(2)]


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


def crop_inputs(world):
    moving_box(world, 1, 2, z=3)
    return {"IDs": [world.movie], "Container_Name": "Crops"}


def crop_check(world, inputs, run):
    expected = np.stack([boxed(world.pixels[t, :, 3:4], BOX[0] + t) for t in (1, 2)])
    np.testing.assert_array_equal(made(world, run, "Result"), expected)
    dataset = world.image(run.outputs["Result"].val.id.val).getParent()
    assert (dataset.getName(), dataset.getParent().getName()) == ("Crops", "Bacteria")


def move_inputs(world):
    for image in world.plate_images:
        world.add_tag(image, f"of {image}")
    return {"IDs": [world.plate], "Annotation_Type": "Tag", "Remove_Annotations_From_Images": True}


def move_check(world, inputs, run):
    wells = world.conn.getObject("Plate", world.plate).listChildren()
    assert sorted(world.tags_of("Well", w.getId())[0] for w in wells) == [f"of {i}" for i in world.plate_images]
    assert [world.tags_of("Image", i) for i in world.plate_images] == [[], []]


CASES: list[tuple[str, Callable[[World], Inputs], Callable[[World, Inputs, Run], None]]] = [
    ("analysis_scripts/Kymograph.py", kymograph_inputs, kymograph_check),
    ("analysis_scripts/Kymograph_Analysis.py", analysis_inputs, analysis_check),
    ("analysis_scripts/Plot_Profile.py", profile_inputs, profile_check),
    ("annotation_scripts/Convert_KeyVal_namespace.py", convert_inputs, convert_check),
    ("annotation_scripts/Export_to_csv.py", export_inputs, export_check),
    ("annotation_scripts/Import_from_csv.py", import_inputs, import_check),
    ("annotation_scripts/Remove_KeyVal.py", remove_inputs, remove_check),
    ("export_scripts/Batch_Image_Export.py", batch_inputs, batch_check),
    ("export_scripts/Batch_Image_Export.py", tiff_inputs, tiff_check),
    ("export_scripts/Batch_ROI_Export.py", statistics_inputs, statistics_check),
    ("export_scripts/Make_Movie.py", movie_inputs, movie_check),
    ("figure_scripts/Movie_Figure.py", movie_figure_inputs, movie_figure_check),
    ("figure_scripts/Movie_ROI_Figure.py", movie_roi_inputs, movie_roi_check),
    ("figure_scripts/ROI_Split_Figure.py", roi_split_inputs, roi_split_check),
    ("figure_scripts/Split_View_Figure.py", split_view_inputs, split_view_check),
    ("figure_scripts/Thumbnail_Figure.py", thumbnail_inputs, thumbnail_check),
    ("import_scripts/Populate_Metadata.py", metadata_inputs, metadata_check),
    ("import_scripts/Populate_ROI.py", measurement_inputs, measurement_check),
    ("util_scripts/Channel_Offsets.py", offsets_inputs, offsets_check),
    ("util_scripts/Combine_Images.py", combine_inputs, combine_check),
    ("util_scripts/Dataset_To_Plate.py", plate_inputs, plate_check),
    ("util_scripts/Images_From_ROIs.py", crop_inputs, crop_check),
    ("util_scripts/Move_Annotations.py", move_inputs, move_check),
]
