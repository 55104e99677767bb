"""OME-Zarr plates: others read ours, we read theirs."""

import json
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Label, Multiscales, Plate, Reader

from openhcs_backends.zarr_backend import ZarrBackend
from openhcs_backends.zarr_results import halved, levels
from openhcs_core.plate import PlaneAddress, PlateChannel
from openhcs_core.storage import StorageError
from tests.storage.plates import pixels, plate, results, save

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it uses what it deprecates
    from ome_zarr.writer import write_image, write_plate_metadata, write_well_metadata

WELLS = ("B03", "C04")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Steps of a plate of 600 x 520 pixels: images and labels, labels only, one of two channels."""
    folder = tmp_path_factory.mktemp("written")
    planes = [PlaneAddress(well, site, c) for well in WELLS for site in (1, 2) for c in (1, 2)]
    source = plate(planes, (600, 520))
    with ZarrBackend().open_results(results(folder, source.layout)) as writer:
        for well in WELLS:
            save(writer, source, "both", well)
            save(writer, source, "both", well, "labels", "int32")
            save(writer, source, "nuclei", well, "labels", "uint16")
            for address in source.layout.planes[well]:
                if address.channel == 2:
                    writer.save_batch([pixels(address, (600, 520))], [address.path], step_name="second")
            writer.finish_well(well)
        writer.finish(list(WELLS))
    return folder


def nodes(path):
    return list(Reader(parse_url(str(path)))())


def node_of(path, kind):
    return next(node for node in nodes(path) if any(isinstance(spec, kind) for spec in node.specs))


def test_ome_zarr_reads_images_with_levels_and_channels(written):
    image = node_of(written / "both.zarr" / "B" / "03" / "1", Multiscales)
    assert [level.shape for level in image.data] == [
        (1, 2, 1, 600, 520), (1, 2, 1, 300, 260), (1, 2, 1, 150, 130)
    ]  # fmt: skip
    for channel in (1, 2):
        expected = pixels(PlaneAddress("B03", 2, channel), (600, 520))
        np.testing.assert_array_equal(image.data[0][0, channel - 1, 0].compute(), expected)
    assert image.metadata["channel_names"] == ["DNA", "actin"]
    assert image.metadata["contrast_limits"][0] == [10, 400]
    assert [axis.get("unit") for axis in image.metadata["axes"]] == [None, None, *["micrometer"] * 3]
    scales = [changes[0]["scale"] for changes in image.metadata["coordinateTransformations"]]
    assert scales == [[1, 1, 2, 0.5 * 2**level, 0.25 * 2**level] for level in range(3)]


@pytest.mark.parametrize("step", ["both", "nuclei"])
def test_ome_zarr_reads_labels(step, written):
    label = node_of(written / f"{step}.zarr" / "C" / "04" / "0", Label)
    assert label.metadata["name"].endswith(step)
    assert [level.shape[-2:] for level in label.data] == [(600, 520), (300, 260), (150, 130)]
    expected = pixels(PlaneAddress("C04", 1, 2), (600, 520))
    for level, array in enumerate(label.data):
        np.testing.assert_array_equal(array[0, 1, 0].compute(), expected[:: 2**level, :: 2**level])


@pytest.mark.parametrize("step", ["both", "nuclei", "second"])
def test_ome_zarr_reads_the_plate(step, written):
    whole = node_of(written / f"{step}.zarr", Plate)
    channels = 1 if step == "second" else 2
    assert whole.data[0].shape[:3] == (1, channels, 1)
    stitched = whole.data[0][0, -1, 0].compute()
    expected = pixels(PlaneAddress("B03", 1, 2), (600, 520))
    np.testing.assert_array_equal(stitched[:600, :520], expected)


def test_the_metadata_keep_to_the_specification(written):
    from ome_zarr_models.v04 import HCS

    for step in ("both", "nuclei", "second"):
        model = HCS.from_zarr(zarr.open_group(written / f"{step}.zarr", mode="r"))
        assert [well.path for well in model.attributes.plate.wells] == ["B/03", "C/04"]


def test_a_step_without_images_stores_its_labels_once(written):
    image = written / "nuclei.zarr" / "B" / "03" / "0"
    assert sorted(path.name for path in image.iterdir()) == [".zattrs", ".zgroup", "labels"]
    with ZarrBackend().open_plate(str(written / "nuclei.zarr")) as again:
        address = PlaneAddress("B03", 2, 2)
        np.testing.assert_array_equal(again.read([address])[0], pixels(address, (600, 520)))


def test_pixels_without_a_size_have_no_unit(tmp_path):
    source = plate([PlaneAddress("A01")])
    layout = type(source.layout)(**{**vars(source.layout), "voxel_size_um": (None, None, None)})
    with ZarrBackend().open_results(results(tmp_path, layout)) as writer:
        save(writer, source, "a", "A01")
        writer.finish_well("A01")
        writer.finish(["A01"])
    with ZarrBackend().open_plate(str(tmp_path / "a.zarr")) as again:
        assert again.layout.voxel_size_um == (None, None, None)


def test_values_that_are_no_numbers(tmp_path):
    """Metadata hold none of them: JSON has no word for them."""
    source = plate([PlaneAddress("A01"), PlaneAddress("A01", channel=2)])
    planes = [np.full((4, 5), np.nan, np.float32), np.full((4, 5), np.inf, np.float32)]
    planes[1][0, :2] = -1, 3
    with ZarrBackend().open_results(results(tmp_path, source.layout)) as writer:
        writer.save_batch(planes, [address.path for address in source.layout.planes["A01"]], step_name="a")
        writer.finish_well("A01")
        writer.finish(["A01"])
    text = (tmp_path / "a.zarr" / "A" / "01" / "0" / ".zattrs").read_text()
    windows = [channel["window"] for channel in json.loads(text, parse_constant=pytest.fail)["omero"]["channels"]]
    assert [(window["start"], window["end"]) for window in windows] == [(0, 0), (-1, 3)]
    with ZarrBackend().open_plate(str(tmp_path / "a.zarr")) as again:
        for saved, plane in zip(planes, again.read(source.layout.planes["A01"]), strict=True):
            np.testing.assert_array_equal(plane, saved)


def test_large_planes_are_cut_into_chunks(tmp_path):
    address = PlaneAddress("A01")
    source = plate([address], (5, 6))
    mosaic = np.random.default_rng(0).integers(0, 4, (2500, 1100)).astype(np.uint8)
    with ZarrBackend().open_results(results(tmp_path, source.layout)) as writer:
        writer.save_batch([mosaic], [address.path], step_name="a")
        writer.finish_well("A01")
        writer.finish(["A01"])
    array = zarr.open_array(tmp_path / "a.zarr" / "A" / "01" / "0" / "0", mode="r")
    assert array.chunks == (1, 1, 1, 1024, 1100)
    with ZarrBackend().open_plate(str(tmp_path / "a.zarr")) as again:
        np.testing.assert_array_equal(again.read([address])[0], mosaic)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "float16", "float32"])
def test_levels_are_means(dtype):
    plane = pixels(PlaneAddress("A01"), (7, 10), dtype)
    low = halved(plane)
    assert (low.shape, low.dtype) == ((4, 5), plane.dtype)
    whole = np.vstack([plane, plane[-1:]]).astype(float)
    expected = whole.reshape(4, 2, 5, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(low.astype(float), expected, rtol=1e-2 if dtype == "float16" else 1e-6, atol=3)
    assert len(list(levels(np.zeros((256, 256)), False))) == 1


def test_planes_of_a_field_are_alike(tmp_path):
    with ZarrBackend().open_results(results(tmp_path, plate().layout)) as writer:
        writer.save_batch([np.zeros((4, 5))], [PlaneAddress("B03").path], step_name="a")
        with pytest.raises(StorageError, match=r"a', B03_s001_w2.*\(4, 6\) pixels .* others of the field are \(4, 5\)"):
            writer.save_batch([np.zeros((4, 6))], [PlaneAddress("B03", channel=2).path], step_name="a")
        writer.save_batch([np.zeros((4, 6))], [PlaneAddress("B03", 2).path], step_name="a")  # of another field they may


def foreign(path, version, fields=2, axes="czyx", shape=(2, 3, 20, 30)):
    """A plate as ome-zarr-py writes it."""
    from ome_zarr.format import FormatV04, FormatV05

    made = FormatV04() if version == "0.4" else FormatV05()
    root = zarr.open_group(path, mode="w", zarr_format=made.zarr_format)
    wells = ["A/1", "B/12"]
    write_plate_metadata(root, ["A", "B"], ["1", "12"], wells, fmt=made, name="theirs")
    for number, well in enumerate(wells):
        group = root.require_group(well)
        write_well_metadata(group, [str(field) for field in range(fields)], fmt=made)
        for field in range(fields):
            image = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape) + 1000 * (fields * number + field)
            target, window = group.require_group(str(field)), {"start": 1, "end": 9, "min": 0, "max": 99}
            write_image(
                image, target, axes=axes, fmt=made, scale_factors=[],
                scale={axis: {"z": 3.0, "y": 0.5, "x": 0.25}.get(axis, 1.0) for axis in axes},
                axes_units={axis: "micrometer" for axis in axes if axis in "zyx"},
                omero={"channels": [{"label": "DNA", "color": "0000FF", "window": window}] * 2},
            )  # fmt: skip
            known = dict(target.attrs)
            for level in known.get("ome", known)["multiscales"][0]["datasets"]:
                offset = [7.0 * field if axis == "x" else 0.0 for axis in axes]
                scale = level["coordinateTransformations"][0]
                level["coordinateTransformations"] = [scale, {"type": "translation", "translation": offset}]
            target.attrs.update(known)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["czyx", "yx"])
def test_plates_of_others(version, axes, tmp_path):
    shape = (2, 3, 20, 30)[-len(axes) :]
    backend, path = ZarrBackend(), str(foreign(tmp_path / "theirs.zarr", version, axes=axes, shape=shape))
    assert backend.recognises(path)
    with backend.open_plate(path) as opened:
        layout = opened.layout
        assert (layout.name, layout.wells) == ("theirs", ["A01", "B12"])
        depth, channels = (3, 2) if len(axes) == 4 else (1, 1)
        assert layout.planes["B12"] == [
            PlaneAddress("B12", site, c, z)
            for site in (1, 2)
            for c in range(1, channels + 1)
            for z in range(1, depth + 1)
        ]
        assert layout.voxel_size_um == (3.0 if depth > 1 else None, 0.5, 0.25)
        assert layout.positions_um["A01", 2] == (0.0, 7.0)
        if channels == 2:
            assert layout.channels == [PlateChannel("DNA", (0.0, 0.0, 1.0), (1.0, 9.0))] * 2
        base = np.arange(np.prod(shape), dtype=np.uint16).reshape(-1, 20, 30)
        wanted = layout.planes["B12"]
        for number, plane in enumerate(opened.read(wanted)):
            field, place = divmod(number, depth * channels)
            np.testing.assert_array_equal(plane, base[place] + 1000 * (2 + field))


BROKEN = {
    "is an image": lambda path: shutil.copytree(path / "A" / "1" / "0", path.with_name("a.zarr")),
    "leads out of": lambda path: edit(path, lambda known: known["plate"]["wells"][0].update(path="../../etc")),
    "make no sense: KeyError 'wells'": lambda path: edit(path, lambda known: known["plate"].pop("wells")),
    "has no fields": lambda path: edit(path, lambda known: known["plate"].update(wells=[])),
    "make no sense: KeyError 'well'": lambda path: (path / "A" / "1" / ".zattrs").unlink(),
    "is no Zarr array: the plate is not complete": lambda path: (
        shutil.rmtree(path / "B" / "12" / "1" / "s0")
        if (path / "B" / "12" / "1" / "s0").exists()
        else shutil.rmtree(path / "B" / "12" / "1" / "0")
    ),
    "cannot be read": lambda path: (path / ".zattrs").write_text("{"),
    "is no OME-Zarr plate, or one that is not finished": lambda path: (path / ".zattrs").unlink(),
}


def edit(path, change):
    known = json.loads((path / ".zattrs").read_text())
    change(known)
    (path / ".zattrs").write_text(json.dumps(known))


@pytest.mark.parametrize("reason", BROKEN)
def test_plates_that_are_broken(reason, tmp_path):
    path = foreign(tmp_path / "theirs.zarr", "0.4")
    path = BROKEN[reason](path) if reason == "is an image" else (BROKEN[reason](path), path)[1]
    with pytest.raises(StorageError, match=reason):
        ZarrBackend().open_plate(str(path))


def test_fields_that_differ_are_named(tmp_path):
    path = foreign(tmp_path / "theirs.zarr", "0.4")
    other = foreign(tmp_path / "other.zarr", "0.4", shape=(2, 3, 20, 31))
    shutil.rmtree(path / "B" / "12" / "1")
    shutil.copytree(other / "B" / "12" / "1", path / "B" / "12" / "1")
    with pytest.raises(StorageError, match=r"not alike: .*/A/1/0 \(20 x 30 .*/B/12/1 \(20 x 31"):
        ZarrBackend().open_plate(str(path))


def test_rows_by_number_and_many_fields(tmp_path):
    path = foreign(tmp_path / "theirs.zarr", "0.4", fields=5, axes="yx", shape=(20, 30))
    (path / "B").rename(path / "2")
    edit(path, lambda known: known["plate"]["rows"].__setitem__(1, {"name": "2"}))
    edit(path, lambda known: known["plate"]["wells"][1].update(path="2/12"))
    with ZarrBackend().open_plate(str(path)) as opened:
        assert opened.layout.wells == ["A01", "B02"]  # second row, second column
        addresses = [address for well in opened.layout.wells for address in opened.layout.planes[well]]
        for number, plane in enumerate(opened.read(addresses + addresses)):
            assert plane[0, 0] == 1000 * (number % 10)
        shutil.rmtree(path / "A" / "1" / "0")
        with pytest.raises(StorageError, match="A/1/0"):
            opened.read(addresses)


def test_numbers_that_do_not_fit_the_axes(written, tmp_path):
    path = shutil.copytree(written / "second.zarr", tmp_path / "second.zarr")
    image = path / "B" / "03" / "0"
    edit(image, lambda known: known["openhcs"].update(channels=[1, 2]))
    with pytest.raises(StorageError, match="numbers under 'openhcs' do not fit its axes"):
        ZarrBackend().open_plate(str(path))


def test_damaged_chunks_are_named(written, tmp_path):
    path = shutil.copytree(written / "second.zarr", tmp_path / "second.zarr")
    (path / "B" / "03" / "0" / "0" / "0" / "0" / "0" / "0" / "0").write_bytes(b"no chunk at all")
    with ZarrBackend().open_plate(str(path)) as opened, pytest.raises(StorageError, match="B03_s001_w2_z001_t001"):
        opened.read([PlaneAddress("B03", 1, 2)])


WORKER = """
import pickle, sys
from openhcs_core.plate import PlaneAddress
from openhcs_backends.zarr_backend import ZarrBackend
import json, numpy as np
from openhcs_core.storage import Results
from tests.storage.plates import plate, results, save
location, parent, well = sys.argv[1:]
source = plate()
with ZarrBackend().open_results(results(location, source.layout, parent=parent)) as writer:
    save(writer, source, "a", well)
    print("saved", flush=True)
    sys.stdin.readline()
    writer.finish_well(well)
"""


def test_workers_write_at_the_same_time(tmp_path):
    source = plate()
    told = results(tmp_path, source.layout)
    with ZarrBackend().open_results(told) as parent:
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(tmp_path), told.parent, well],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for well in source.layout.wells
        ]  # fmt: skip
        for worker in workers:
            assert worker.stdout.readline() == "saved\n"
        assert [path.name for path in tmp_path.iterdir()] == [".openhcs"]
        for worker in workers:
            worker.communicate("\n", timeout=60)
            assert worker.returncode == 0
        with pytest.raises(StorageError, match="not finished"):
            ZarrBackend().open_plate(str(tmp_path / "a.zarr"))
        parent.finish(source.layout.wells)
    with ZarrBackend().open_plate(str(tmp_path / "a.zarr")) as again:
        assert again.layout.planes == source.layout.planes
        wanted = [address for planes in source.layout.planes.values() for address in planes]
        for address, plane in zip(wanted, again.read(wanted), strict=True):
            np.testing.assert_array_equal(plane, pixels(address))
