"""Folders of TIFF files as plates."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from openhcs_backends.disk import DiskBackend
from openhcs_backends.plate_file import PLATE_FILE
from openhcs_core.plate import PlaneAddress, PlateChannel
from openhcs_core.storage import StorageError

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def opened():
    """Opens plates, and closes them in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda folder: stack.enter_context(DiskBackend().open_plate(str(folder)))


def write(folder, *names, shape=(4, 6), dtype="uint16", **more):
    """Files whose pixels are all their number in the order given, from 1."""
    for number, name in enumerate(names, 1):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.full(shape, number, dtype), photometric="minisblack", **more)


GUID = "0A1B2C3D-1234-5678-9ABC-DEF012345678"
NAMES = {
    "B03_s001_w1_z001_t001.tif": PlaneAddress("B03"),
    "B3_s002_w2_z003.TIFF": PlaneAddress("B03", 2, 2, 3),
    "AF48_s2.ome.tif": PlaneAddress("AF48", 2),
    "IXMtest_A02_s9.tif": PlaneAddress("A02", 9),
    "IXMtest_A02_s9_w1.tif": PlaneAddress("A02", 9, 1),
    f"My plate (2)_P24_s1_w4{GUID}.tif": PlaneAddress("P24", 1, 4),
    "TimePoint_3/x_B10_s2_w1.TIF": PlaneAddress("B10", 2, 1, 1, 3),
    "TimePoint_1/ZStep_12/x_B10_w2.tif": PlaneAddress("B10", 1, 2, 12),
    "ZStep_2/x_B10_s1_w1.tif": PlaneAddress("B10", 1, 1, 2),
    "r01c02f03p04-ch1sk1fk1fl1.tiff": PlaneAddress("A02", 3, 1, 4),
    "Images/r16c24f10p01-ch4sk7fk1fl1.tiff": PlaneAddress("P24", 10, 4, 1, 7),
    "r27c02f01p01-ch1sk1fk1fl1.tiff": PlaneAddress("AA02"),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_microscopes(name, tmp_path, opened):
    write(tmp_path, name)
    plate = opened(tmp_path)
    assert plate.layout.planes == {NAMES[name].well: [NAMES[name]]}
    assert plate.read([NAMES[name]])[0].tolist() == np.ones((4, 6)).tolist()
    assert plate.statements == ()


def test_other_files_are_named(tmp_path, opened):
    write(tmp_path, "x_A01_s1_w1.tif", "x_A01_s1_w1_thumb.tif", "overview.tif", "aside/x_A02_s1_w1.tif", ".x_A03.tif")
    (tmp_path / "notes.txt").write_text("")
    plate = opened(tmp_path)
    assert plate.layout.planes == {"A01": [PlaneAddress("A01")]}
    assert plate.statements == ["2 files with other names are left out: overview.tif, x_A01_s1_w1_thumb.tif"]


def test_numbers_from_0_are_moved_up(tmp_path, opened):
    write(tmp_path, "x_A01_s0_w0.tif", "x_A01_s0_w1.tif", "x_A01_s5_w1.tif")
    assert opened(tmp_path).layout.planes["A01"] == [
        PlaneAddress("A01", 1, 1), PlaneAddress("A01", 1, 2), PlaneAddress("A01", 6, 2)
    ]  # fmt: skip


FLY = """
name = "Kc167"
pattern = '01_POS(?P<site>\\d+)_(?P<channel>[DFR])\\.TIF'
well = "A1"
pixel_size_um = 0.65
channels = [
    { key = "F", name = "actin" },
    { key = "R", color = "ff0000", window = [5, 200] },
    { key = "D", name = "DNA" },
]

[positions_um]
A01_s076 = [0.0, 650.5]
"""


def test_real_images_with_names_of_their_own(tmp_path, opened):
    """Kc167 cells: two positions in three channels."""
    for path in (DATA / "fly").glob("*.TIF"):
        shutil.copy(path, tmp_path)
    (tmp_path / PLATE_FILE).write_text(FLY)
    plate = opened(tmp_path)
    assert plate.layout.name == "Kc167"
    assert plate.layout.planes == {"A01": [PlaneAddress("A01", site, c) for site in (2, 76) for c in (1, 2, 3)]}
    assert (plate.layout.size_yx, plate.layout.dtype) == ((256, 256), np.uint8)
    assert plate.layout.channels == [
        PlateChannel("actin"), PlateChannel("R", (1.0, 0.0, 0.0), (5.0, 200.0)), PlateChannel("DNA")
    ]  # fmt: skip
    assert plate.layout.voxel_size_um == (None, 0.65, 0.65)
    assert plate.layout.positions_um == {("A01", 76): (0.0, 650.5)}
    for number, letter in ((1, "F"), (2, "R"), (3, "D")):
        expected = tifffile.imread(DATA / "fly" / f"01_POS076_{letter}.TIF")
        np.testing.assert_array_equal(plate.read([PlaneAddress("A01", 76, number)])[0], expected)


IMAGE = """<Image Version="1">
<URL>{url}</URL><Row>2</Row><Col>3</Col><FieldID>{field}</FieldID><PlaneID>{plane}</PlaneID>
<ChannelID>{channel}</ChannelID><PositionX Unit="m">{x}</PositionX><PositionY Unit="m">{y}</PositionY>
<PositionZ Unit="m">{z}</PositionZ>{more}</Image>"""
SIZES = '<ImageResolutionX Unit="m">6.5E-07</ImageResolutionX><ImageResolutionY Unit="m">6.6E-07</ImageResolutionY>'


@pytest.mark.parametrize("place", ["Index.idx.xml", "Images/Index.xml"])
@pytest.mark.parametrize("by_image", [True, False])
def test_the_index_of_harmony(place, by_image, tmp_path, opened):
    """Older versions tell of channels with each image, newer ones once."""
    images, entries = "", ""
    for channel in (1, 2):
        told = f"<ChannelName>{'HOECHST' if channel == 1 else 'Alexa &lt;488>'}</ChannelName>{SIZES}"
        entries += f'<Entry ChannelID="{channel}">{told}</Entry>'
        for field, x, y in ((1, "0", "0"), (2, "0.0001", "-0.0002")):
            for plane in (1, 2):
                url = f"r02c03f{field:02}p{plane:02}-ch{channel}sk1fk1fl1.tiff"
                write(tmp_path, f"Images/{url}")
                z, more = f"{plane * 1.5}E-06", told if by_image else ""
                images += IMAGE.format(url=url, field=field, plane=plane, channel=channel, x=x, y=y, z=z, more=more)
    (tmp_path / place).write_text(
        '<?xml version="1.0"?><EvaluationInputData xmlns="http://www.perkinelmer.com/PEHH/HarmonyV5">'
        f"<Maps><Map>{'' if by_image else entries}</Map></Maps><Images>{images}</Images></EvaluationInputData>"
    )
    layout = opened(tmp_path).layout
    assert layout.planes["B03"] == [PlaneAddress("B03", s, c, z) for s in (1, 2) for c in (1, 2) for z in (1, 2)]
    assert [channel.name for channel in layout.channels] == ["HOECHST", "Alexa <488>"]
    np.testing.assert_allclose(layout.voxel_size_um, (1.5, 0.66, 0.65))
    assert {key: pytest.approx(value) for key, value in layout.positions_um.items()} == {
        ("B03", 1): (0, 0), ("B03", 2): (200, 100)
    }  # fmt: skip
    (tmp_path / PLATE_FILE).write_text('channels = ["DNA"]\npixel_size_um = 1\n[positions_um]\nB03_s001 = [5, 5]')
    layout = opened(tmp_path).layout  # what people say counts more
    assert (layout.channels[0].name, layout.voxel_size_um[1:], layout.positions_um["B03", 1]) == ("DNA", (1, 1), (5, 5))
    (tmp_path / place).write_text("<Images>")
    with pytest.raises(StorageError, match=r"Index.*xml cannot be read: .* Remove it to do without"):
        opened(tmp_path)


def test_wells_by_another_name_and_folders_in_the_pattern(tmp_path, opened):
    write(tmp_path, "day 1/pos 002/D.tif", "day 1/pos 002/F.tif", "day 2/pos 076/D.tif")
    rule = "pattern = 'day (?P<timepoint>\\d)/pos (?P<well>\\d+)/(?P<channel>\\w)\\.tif'\n"
    (tmp_path / PLATE_FILE).write_text(rule + '[wells]\n"002" = "C4"\n"076" = "B10"\n')
    layout = opened(tmp_path).layout
    assert layout.planes == {
        "B10": [PlaneAddress("B10", timepoint=2)],
        "C04": [PlaneAddress("C04"), PlaneAddress("C04", channel=2)],
    }
    assert [channel.name for channel in layout.channels] == ["D", "F"]


WRONG = {
    "there is no entry 'patern'": "patern = 'x'",
    "cannot be read": "pattern = ",
    "'pattern' makes no sense": "pattern = '(?P<well>'",
    "there is no component 'field'": "pattern = '(?P<field>.)'",
    "'pixel_size_um' makes no sense": "pixel_size_um = [1, 2, 3]",
    "'pixel_size_um' makes no sense ": "pixel_size_um = -1",
    "'z_step_um' makes no sense": "z_step_um = true",
    "'channels' makes no sense: a channel has no 'colour'": "channels = [{ colour = 'red' }]",
    "is no colour such as": "channels = [{ color = 'red' }]",
    "'positions_um' makes no sense": "[positions_um]\nA1 = [1, 2]",
    "'wells' makes no sense": "wells = ['A01']",
    "says no well": "pattern = '.*'",
    "'x' is no well such as B03": "pattern = '.*'\nwell = 'x'",
    "'A00' is no well": "pattern = '.*'\nwell = 'A00'",
    "'x_' is no number": "pattern = '(?P<site>x_)(?P<well>A01).*'",
    "None of the 1 TIFF files": "pattern = 'y'",
    "but files have A01": "pattern = 'x_(?P<channel>A01).*'\nwell = 'A01'\nchannels = [{key = 'D'}]",
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_plate_file_that_makes_no_sense(reason, tmp_path, opened):
    write(tmp_path, "x_A01_s1_w1.tif")
    (tmp_path / PLATE_FILE).write_text(WRONG[reason])
    with pytest.raises(StorageError, match=reason.strip()):
        opened(tmp_path)


def test_stacks_in_files(tmp_path, opened):
    """E. coli: C2 T4 Z5 in one OME-TIFF; two fields of it, and names of channels from the OME-XML."""
    movie = tifffile.imread(DATA / "ecoli" / "coli_nucl_ori_crop.ome.tif")
    for name in ("B02_s1.ome.tif", "B02_s2.ome.tif"):
        shutil.copy(DATA / "ecoli" / "coli_nucl_ori_crop.ome.tif", tmp_path / name)
    plate = opened(tmp_path)
    assert len(plate.layout.planes["B02"]) == 2 * 2 * 4 * 5
    assert [channel.name for channel in plate.layout.channels] == ["C:0", "C:1"]
    wanted = [PlaneAddress("B02", 2, 2, 5, 4), PlaneAddress("B02", 1, 1, 2, 3)]
    for address, plane in zip(wanted, plate.read(wanted), strict=True):
        np.testing.assert_array_equal(plane, movie[address.channel - 1, address.timepoint - 1, address.z_index - 1])


@pytest.mark.parametrize("more", [{"imagej": True}, {"ome": True}, {"compression": "zlib"}, {"byteorder": ">"}])
def test_stacks_of_any_kind_with_calibration(more, tmp_path, opened):
    stack = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
    names = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2} if "ome" in more else {"axes": "ZYX"}
    tifffile.imwrite(tmp_path / "A01_w2.tif", stack, metadata={"axes": "ZYX"} | names, photometric="minisblack", **more)
    plate = opened(tmp_path)
    assert plate.layout.planes["A01"] == [PlaneAddress("A01", 1, 2, z) for z in (1, 2, 3)]
    assert plate.layout.voxel_size_um == ((2, 0.5, 0.25) if "ome" in more else (None, None, None))
    for section, plane in zip(stack, plate.read(plate.layout.planes["A01"]), strict=True):
        np.testing.assert_array_equal(plane, section)
        assert plane.dtype.isnative


def test_many_stacks_and_a_damaged_one(tmp_path, opened):
    sites = range(1, 8)
    stack = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
    for site in sites:
        compression = {"photometric": "minisblack", "compression": "zlib", "metadata": {"axes": "ZYX"}}
        tifffile.imwrite(tmp_path / f"A01_s{site}.tif", stack + site, **compression)
    plate = opened(tmp_path)
    for site in (*sites, *sites):
        np.testing.assert_array_equal(plate.read([PlaneAddress("A01", site, 1, 2)])[0], stack[1] + site)
    plate.close()
    whole = (tmp_path / "A01_s2.tif").read_bytes()
    (tmp_path / "A01_s2.tif").write_bytes(whole[:300] + bytes(len(whole) - 300))
    with pytest.raises(StorageError, match=r"A01_s2\.tif cannot be read|damaged at"):
        plate.read([PlaneAddress("A01", 2, 1, 2)])
    (tmp_path / "A01_s1.tif").write_bytes(whole[:300])
    with pytest.raises(StorageError, match=r"A01_s1\.tif cannot be read"):
        opened(tmp_path)


def test_one_image_in_several_files_is_refused(tmp_path, opened):
    xml = """<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">
    <Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="6" SizeY="4" SizeZ="4" SizeC="1" SizeT="1">
    <Channel ID="Channel:0:0" SamplesPerPixel="1"/>{}</Pixels></Image></OME>"""
    data = '<TiffData IFD="{}" FirstZ="{}" PlaneCount="1"><UUID FileName="{}">urn:uuid:{:032}</UUID></TiffData>'
    names = ["A01_s1.ome.tif", "A01_s2.ome.tif"]
    told = "".join(data.format(z % 2, z, names[z // 2], z // 2) for z in range(4))
    for number, name in enumerate(names):
        about = xml.format(told).replace("<OME ", f'<OME UUID="urn:uuid:{number:032}" ')
        tifffile.imwrite(
            tmp_path / name, np.zeros((2, 4, 6), np.uint8), description=about, metadata=None, photometric="minisblack"
        )
    with pytest.raises(StorageError, match=r"A01_s1\.ome\.tif is one of several files that are one image"):
        opened(tmp_path)


def test_channels_of_files_by_ome_xml(tmp_path, opened):
    for number, name in ((1, "DNA"), (2, "actin")):
        about = {"axes": "YX", "Channel": {"Name": name}, "PhysicalSizeX": 0.3, "PhysicalSizeY": 0.3}
        tifffile.imwrite(tmp_path / f"A01_w{number}.ome.tif", np.zeros((4, 5), np.uint8), ome=True, metadata=about)
    layout = opened(tmp_path).layout
    assert [channel.name for channel in layout.channels] == ["DNA", "actin"]
    assert layout.voxel_size_um == (None, 0.3, 0.3)


def test_a_channel_that_the_plate_has_not_is_called_by_its_number(tmp_path, opened):
    write(tmp_path, "A01_w3.tif")
    assert [channel.name for channel in opened(tmp_path).layout.channels] == ["1", "2", "3"]


def test_files_that_are_the_same_plane(tmp_path, opened):
    write(tmp_path, "A01_s1.tif", "A01_s001_w1.tif")
    with pytest.raises(StorageError, match=r"A01_s001_w1\.tif and A01_s1\.tif are both A01_s001_w1_z001_t001"):
        opened(tmp_path)


@pytest.mark.parametrize("other", [{"shape": (4, 7)}, {"dtype": "uint8"}])
def test_wells_that_differ_are_named(other, tmp_path, opened):
    write(tmp_path, "A01_s1.tif")
    write(tmp_path, "A02_s1.tif", **other)
    with pytest.raises(StorageError, match=r"are not alike: A01_s1\.tif \(4 x 6 pixels of uint16\); A02_s1\.tif \("):
        opened(tmp_path)


@pytest.mark.parametrize("other", [{"shape": (4, 7)}, {"dtype": "uint8"}])
def test_fields_that_differ_are_named_when_they_are_read(other, tmp_path, opened):
    write(tmp_path, "A01_s1.tif")
    write(tmp_path, "A01_s2.tif", **other)
    with pytest.raises(StorageError, match=r"A01_s2\.tif has the shape .* the plate is of 4 x 6 pixels of uint16"):
        opened(tmp_path).read([PlaneAddress("A01", 2)])


def test_a_stack_that_its_name_denies(tmp_path, opened):
    write(tmp_path, "A01_s1_w1_z1.tif", shape=(3, 4, 5), metadata={"axes": "ZYX"})
    with pytest.raises(StorageError, match=r"A01_s1_w1_z1\.tif is of one section by its name, but holds 3"):
        opened(tmp_path)


def test_stacks_of_different_depth(tmp_path, opened):
    write(tmp_path, "A01_s1.tif", shape=(3, 4, 5), metadata={"axes": "ZYX"})
    write(tmp_path, "A01_s2.tif", shape=(2, 4, 5), metadata={"axes": "ZYX"})
    with pytest.raises(StorageError, match=r"A01_s2\.tif has T, C, Z of \(1, 1, 2\), others of its well \(1, 1, 3\)"):
        opened(tmp_path).read([PlaneAddress("A01", 2)])


def test_a_stack_among_planes(tmp_path, opened):
    """Its first page must not pass for the plane."""
    write(tmp_path, "A01_s1.tif")
    write(tmp_path, "A01_s2.tif", shape=(3, 4, 6), metadata={"axes": "ZYX"})
    with pytest.raises(StorageError, match=r"A01_s2\.tif holds several planes"):
        opened(tmp_path).read([PlaneAddress("A01", 2)])


def test_damaged_files(tmp_path, opened):
    write(tmp_path, "A01_s1.tif", "A01_s2.tif", "A01_s3.tif", "A01_s4.tif", compression="zlib")
    plate = opened(tmp_path)
    whole = (tmp_path / "A01_s2.tif").read_bytes()
    (tmp_path / "A01_s2.tif").write_bytes(whole[:-40])
    (tmp_path / "A01_s3.tif").write_bytes(b"no image at all")
    (tmp_path / "A01_s4.tif").unlink()
    for site in (2, 3, 4):
        with pytest.raises(StorageError, match=rf"A01_s{site}\.tif cannot be read: "):
            plate.read([PlaneAddress("A01", site)])
    (tmp_path / "A01_s1.tif").write_bytes(b"")
    with pytest.raises(StorageError, match=r"A01_s1\.tif cannot be read: "):
        opened(tmp_path)


def test_complex_pixels_are_refused(tmp_path, opened):
    write(tmp_path, "A01.tif", dtype="complex64")
    with pytest.raises(StorageError, match="complex64, which cannot be worked on"):
        opened(tmp_path)


def test_a_folder_of_folders_says_which(tmp_path, opened):
    (tmp_path / "blur").mkdir()
    (tmp_path / "blur" / PLATE_FILE).write_text("")
    with pytest.raises(StorageError, match="no TIFF files in .* Give one of the folders in it: blur"):
        opened(tmp_path)


def test_listing_opens_few_files(tmp_path, opened, monkeypatch):
    write(tmp_path, *(f"{well}_s{site}_w1.tif" for well in ("A01", "A02", "A03") for site in range(1, 31)))
    begun = []
    whole = tifffile.TiffFile.__init__
    monkeypatch.setattr(
        tifffile.TiffFile, "__init__", lambda *given, **named: (begun.append(1), whole(*given, **named))[1]
    )
    assert len(opened(tmp_path).layout.planes["A02"]) == 30
    assert len(begun) <= 4
