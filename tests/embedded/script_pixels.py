"""Scripts of omero-scripts which read and make images: what goes in, what must come out."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import omero.model as model
import tifffile
from omero.rtypes import rint, rlist
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
    rows,
    text,
)  # fmt: skip

BOX = (58, 12, 30, 40)  # x, y, width, height: around one bacterium


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


def crop_inputs(world):
    moving_box(world, 1, 2, z=3)
    return {"IDs": [world.movie], "Container_Name": "Crops"}


def crop_check(world, inputs, run):
    expected = np.stack([boxed(world.pixels[t, :, 3:4], BOX[0] + t) for t in (1, 2)])
    np.testing.assert_array_equal(made(world, run, "Result"), expected)
    dataset = world.image(run.outputs["Result"].val.id.val).getParent()
    assert (dataset.getName(), dataset.getParent().getName()) == ("Crops", "Bacteria")
