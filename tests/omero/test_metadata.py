"""What OMERO knows of an image, in micrometres, seconds and the colours that people see."""

from datetime import datetime, timezone

import numpy as np
import omero
import pytest
from omero.model import LengthI, PixelsI, PlaneInfoI, TimeI
from omero.model.enums import UnitsLength, UnitsTime
from omero.rtypes import rint, rstring, rtime

from openhcs_core.imaris import ImsChannel
from openhcs_core.imaris.metadata import resolved_voxel_size
from openhcs_core.omero.metadata import Crop, channel_names, image_metadata

UM = UnitsLength.MICROMETER
WHOLE = Crop([0, 1], range(2), range(3))


@pytest.fixture
def image(make_image, voxels):
    """Three time points, two channels, two sections; made through the API, so with nothing more."""
    return make_image(voxels(3, 2, 2, 6, 5), "cells")


@pytest.fixture
def change(omero_conn, conn):
    """Function which changes a Pixels or Image object; answers the image anew."""

    def do(image, what="Pixels", **values):
        query, update = omero_conn.getQueryService(), omero_conn.getUpdateService()
        number = image.getPixelsId() if what == "Pixels" else image.getId()
        target = query.get(what, number)
        for name, value in values.items():
            setattr(target, name, value)
        update.saveObject(target)
        return conn.getObject("Image", image.getId())

    return do


@pytest.fixture
def add_plane(omero_conn):
    """Function which adds what is known of one plane."""

    def do(image, t, **values):
        plane = PlaneInfoI()
        plane.pixels = PixelsI(image.getPixelsId(), False)
        plane.theT, plane.theC, plane.theZ = rint(t), rint(0), rint(0)
        for name, value in values.items():
            setattr(plane, name, value)
        omero_conn.getUpdateService().saveObject(plane)

    return do


def test_an_image_of_which_nothing_is_known(conn, image):
    found = image_metadata(conn, image, WHOLE)
    assert found.ims.name == "cells"
    assert found.ims.voxel_size_um == (None, None, None)
    assert found.ims.origin_um == (0.0, 0.0, 0.0)
    assert found.ims.times is found.ims.time_increment_s is found.ims.acquisition_date is None
    assert len(found.ims.channels) == 2
    assert found.statements == []


def test_lengths_of_any_unit(conn, image, change):
    image = change(
        image,
        physicalSizeX=LengthI(250, UnitsLength.NANOMETER),
        physicalSizeY=LengthI(0.0003, UnitsLength.MILLIMETER),
        physicalSizeZ=LengthI(15000, UnitsLength.ANGSTROM),
    )
    assert image_metadata(conn, image, WHOLE).ims.voxel_size_um == pytest.approx((1.5, 0.3, 0.25))


def test_units_that_are_no_measure(conn, image, change):
    image = change(image, physicalSizeX=LengthI(2, UnitsLength.PIXEL), physicalSizeY=LengthI(0.5, UM))
    found = image_metadata(conn, image, WHOLE)
    assert found.ims.voxel_size_um == (None, 0.5, None)
    assert found.statements == ["pixel width of 2 pixel is no measure: ignored"]


def test_times(conn, image, change, add_plane):
    start = datetime(2020, 2, 29, 12, 0, 0, 500000, tzinfo=timezone.utc)
    image = change(image, "Image", acquisitionDate=rtime(start.timestamp() * 1000))
    for t, minutes in enumerate((0, 1.5, 4)):
        add_plane(image, t, deltaT=TimeI(minutes, UnitsTime.MINUTE))
    assert [time.isoformat() for time in image_metadata(conn, image, WHOLE).ims.times] == [
        "2020-02-29T12:00:00.500000+00:00",
        "2020-02-29T12:01:30.500000+00:00",
        "2020-02-29T12:04:00.500000+00:00",
    ]
    late = image_metadata(conn, image, Crop([0], range(1), range(1, 3))).ims
    assert [time.minute for time in late.times] == [1, 4]


def test_times_of_some_planes_only(conn, image, add_plane):
    add_plane(image, 1, deltaT=TimeI(1, UnitsTime.SECOND))
    found = image_metadata(conn, image, WHOLE)
    assert found.ims.times is None
    assert found.statements == ["times known for 1 of 3 time points only: not used"]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e30])
def test_times_that_make_no_sense(conn, image, change, add_plane, seconds):
    start = datetime(2020, 2, 29, tzinfo=timezone.utc)
    image = change(image, "Image", acquisitionDate=rtime(start.timestamp() * 1000))
    image = change(image, timeIncrement=TimeI(seconds, UnitsTime.SECOND))
    for t in range(3):
        add_plane(image, t, deltaT=TimeI(seconds if t else 0, UnitsTime.SECOND))
    found = image_metadata(conn, image, Crop([0], range(1), range(1, 3)))
    assert found.ims.times is None
    assert found.ims.acquisition_date == start
    assert found.statements == ["times of 2 time points make no sense: not used"]


def test_a_date_that_no_calendar_has(conn, image, change):
    found = image_metadata(conn, change(image, "Image", acquisitionDate=rtime(10**18)), WHOLE)
    assert found.ims.acquisition_date is None
    assert found.statements == ["the acquisition date makes no sense: ignored"]


@pytest.mark.parametrize("size", [0.0, -0.5, float("nan"), float("inf")])
def test_calibration_that_makes_no_sense(conn, image, change, size):
    """What is stored is 1 µm, and the file says so; a part does not begin at a place that makes none either."""
    lengths = {f"physicalSize{axis}": LengthI(size, UM) for axis in "XYZ"}
    found = image_metadata(conn, change(image, **lengths), Crop([0], range(1, 2), range(3))).ims
    stored, statements = resolved_voxel_size(found, 2)
    assert stored == (1.0, 1.0, 1.0)
    assert f"z step of {size} µm makes no sense and is ignored" in statements
    assert "no pixel size: 1 µm assumed" in statements
    assert found.origin_um == (1.0, 0.0, 0.0)


def test_times_without_a_date(conn, image, add_plane):
    for t in range(3):
        add_plane(image, t, deltaT=TimeI(1 + t * t, UnitsTime.SECOND))
    found = image_metadata(conn, image, WHOLE)
    assert [time.second for time in found.ims.times] == [1, 2, 5]
    assert found.statements == ["no acquisition date: the time stamps start at 2000-01-01"]


def test_increment_moves_the_start_of_a_part(conn, image, change):
    image = change(image, timeIncrement=TimeI(500, UnitsTime.MILLISECOND))
    image = change(image, "Image", acquisitionDate=rtime(0 + 86400000))
    found = image_metadata(conn, image, Crop([0], range(1), range(2, 3))).ims
    assert found.time_increment_s == 0.5
    assert found.acquisition_date.isoformat() == "1970-01-02T00:00:01+00:00"


def test_position_of_the_stage_and_of_a_part(conn, image, change, add_plane):
    image = change(image, physicalSizeZ=LengthI(2, UM))
    add_plane(image, 0, positionX=LengthI(1, UnitsLength.MILLIMETER), positionY=LengthI(3, UnitsLength.REFERENCEFRAME))
    found = image_metadata(conn, image, WHOLE)
    assert found.ims.origin_um == (0.0, 0.0, 1000.0)
    assert found.statements == ["stage position y of 3 referenceframe is no measure: ignored"]
    part = image_metadata(conn, image, Crop([0], range(1, 2), range(3)))
    assert part.ims.origin_um == (2.0, 0.0, 0.0)


def test_a_position_that_is_no_number(conn, image, add_plane):
    add_plane(image, 0, positionX=LengthI(float("nan"), UM), positionY=LengthI(4.0, UM))
    found = image_metadata(conn, image, WHOLE)
    assert found.ims.origin_um == (0.0, 4.0, 0.0)
    assert found.statements == ["stage position x of nan µm makes no sense: ignored"]


def test_windows_that_are_no_numbers(conn, make_image, omero_conn):
    image = make_image(np.ones((1, 1, 1, 4, 4), "f4"))
    omero_conn.getPixelsService().setChannelGlobalMinMax(image.getPixelsId(), 0, float("nan"), 4.0)
    (channel,) = image_metadata(conn, image, Crop([0], range(1), range(1))).ims.channels
    assert channel.window is None


def test_wavelengths_of_any_unit(conn, image, omero_conn):
    query = "select l from Channel c join c.logicalChannel l where c.pixels.id = {} order by c.id"
    logical = omero_conn.getQueryService().findAllByQuery(query.format(image.getPixelsId()), None)[0]
    logical.emissionWave = LengthI(0.52, UM)
    logical.excitationWave = LengthI(4880, UnitsLength.ANGSTROM)
    logical.name = rstring("GFP")
    omero_conn.getUpdateService().saveObject(logical)
    channels = image_metadata(conn, image, WHOLE).ims.channels
    (found,) = [channel for channel in channels if channel.name == "GFP"]
    assert (found.emission_nm, found.excitation_nm) == pytest.approx((520.0, 488.0))


def test_channels_as_they_were_imported(conn, import_tiff, voxels):
    image = import_tiff(
        voxels(2, 6, 5),
        "image.ome.tif",
        metadata={
            "axes": "CYX",
            "Channel": {
                "Name": ["DAPI é", "GFP"],
                "EmissionWavelength": [461.5, 509],
                "Color": [0x0000FFFF, -16776961],
            },
        },
    )
    assert channel_names(conn, image) == ["DAPI é", "GFP"]
    found = image_metadata(conn, image, Crop([1, 0], range(1), range(1)))
    values = voxels(2, 6, 5)
    second, first = found.ims.channels
    assert first.name == "DAPI é"
    assert first.color == (0.0, 0.0, 1.0)
    assert first.window == (values[0].min(), values[0].max())
    assert first.emission_nm == 461.5
    assert first.excitation_nm is None
    assert second == ImsChannel("GFP", (1.0, 0.0, 0.0), (values[1].min(), values[1].max()), 509.0)
    assert found.value_range == (values.min(), values.max())


def test_greyscale_is_white(conn, import_tiff, voxels):
    (channel,) = image_metadata(conn, import_tiff(voxels(6, 5)), Crop([0], range(1), range(1))).ims.channels
    assert channel.color == (1.0, 1.0, 1.0)


def test_own_rendering_settings_count_first(make_user, connect, omero_server, tmp_path, voxels):
    import tifffile

    from openhcs_core.omero.session import gateway

    owner, other = make_user("settings"), make_user("settings")
    tifffile.imwrite(tmp_path / "a.tif", voxels(6, 5))
    (result,) = omero_server.import_files([tmp_path / "a.tif"], user=owner.name)
    number = result.image_ids[0]

    def channel(user):
        conn = gateway(connect(user).c)
        return image_metadata(conn, conn.getObject("Image", number), Crop([0], range(1), range(1))).ims.channels[0]

    def colour(user, red, start, table=""):
        conn = connect(user)
        settings = conn.getQueryService().findAllByQuery(
            "select r from RenderingDef r left outer join fetch r.waveRendering "
            f"where r.pixels.image.id = {number} and r.details.owner.id = {user.id}",
            None,
        )
        binding = settings[0].copyWaveRendering()[0]
        binding.red, binding.green, binding.blue = rint(red), rint(0), rint(0)
        binding.inputStart = omero.rtypes.rdouble(start)
        binding.lookupTable = rstring(table)
        conn.getUpdateService().saveObject(binding)

    colour(owner, 51, 100.0)
    assert channel(owner).color == channel(other).color == (0.2, 0.0, 0.0)
    assert channel(other).window[0] == 100.0
    settings = connect(other).getRenderingSettingsService()
    settings.resetDefaultsInSet("Image", [number])
    assert channel(other).color == (1.0, 1.0, 1.0)
    assert channel(owner).color == (0.2, 0.0, 0.0)
    colour(owner, 255, 0.0, "fire.lut")
    conn = gateway(connect(owner).c)
    found = image_metadata(conn, conn.getObject("Image", number), Crop([0], range(1), range(1)))
    assert found.statements == ["lookup table fire.lut of channel 1 is not taken over: its colour is used"]


def test_origin_of_the_data_is_told(conn, image, omero_user):
    section = image_metadata(conn, image, WHOLE).ims.sections["OMERO"]
    assert section["Image"] == f"Image:{image.getId()}"
    assert section["Owner"] == omero_user.name
    assert section["Group"] == omero_user.group
    assert section["Pixel type"] == "uint16"


@pytest.mark.parametrize("host", ["https://omero.example.org", " https://example.org/omero/ "])
def test_the_page_of_the_image_in_omero_web(conn, image, connect, host):
    section = image_metadata(conn, image, WHOLE).ims.sections["OMERO"]
    assert "URL" not in section
    root = connect().getConfigService()
    root.setConfigValue("omero.client.web.host", host)
    try:
        section = image_metadata(conn, image, WHOLE).ims.sections["OMERO"]
    finally:
        root.setConfigValue("omero.client.web.host", "")
    assert section["URL"] == f"{host.strip().rstrip('/')}/webclient/?show=image-{image.getId()}"


def test_value_range_of_the_wanted_channels(conn, make_image, omero_conn):
    image = make_image(np.full((1, 2, 1, 4, 4), -3, "i2"))
    omero_conn.getPixelsService().setChannelGlobalMinMax(image.getPixelsId(), 0, -3.0, 4.0)
    ranges = [image_metadata(conn, image, Crop([c], range(1), range(1))).value_range for c in (0, 1)]
    assert ranges == [(-3.0, 4.0), (-3.0, -3.0)]
