"""Pictures, and what the viewer is told about them."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.web.recorded import case, check


def picture(answer):
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


@pytest.fixture
def five(world):
    return world.ids["Image", 1]


def test_thumbnails(alice, five):
    recorded = case("get_thumbnails")
    (text,) = recorded["json"].values()
    recorded["json"] = {str(five): text}
    answer = alice.get(f"/webgateway/get_thumbnails/?id={five}")
    check(answer, recorded)
    data = base64.b64decode(answer.json()[str(five)].partition(",")[2])
    assert Image.open(io.BytesIO(data)).size == (96, 76)


@pytest.mark.parametrize(
    ("address", "size", "kind"),
    [
        ("render_image/{}/1/1/", (50, 40), "JPEG"),
        ("render_image/{}/1/1/?c=1|0:9000$FF0000,-2&m=c&q=0.5", (50, 40), "JPEG"),
        ("render_image/{}/1/1/?p=intmax", (50, 40), "JPEG"),
        ("render_image_region/{}/0/0/?region=10,5,20,30", (20, 30), "JPEG"),
        ("render_birds_eye_view/{}/", (96, 76), "JPEG"),
        ("render_thumbnail/{}/40/", (40, 32), "JPEG"),
        ("render_split_channel/{}/0/0/", (106, 86), "JPEG"),
        ("render_row_plot/{}/0/0/5/", (50, 40), "GIF"),
        ("download_as/{}/?format=png", (50, 40), "PNG"),
        ("download_as/{}/?format=tif", (50, 40), "TIFF"),
    ],
)
def test_picture(alice, five, address, size, kind):
    found = picture(alice.get(f"/webgateway/{address.format(five)}"))
    assert (found.size, found.format) == (size, kind)


def test_channels_of_a_picture(alice, five):
    """Only the first channel, in red: its values rise from row to row."""
    found = np.asarray(picture(alice.get(f"/webgateway/render_image/{five}/0/0/?c=1|0:2000$FF0000,-2&m=c&q=1")))
    red, green, blue = (found[..., n].astype(int).mean(axis=1) for n in range(3))
    assert (np.diff(red[:38]) > 2).all()
    assert max(green.max(), blue.max()) < 20


def test_tiles_of_a_pyramid(alice, world):
    """Rows there are as bright as their number, whatever the resolution."""
    image = world.ids["Image", 40]
    for level, step in ((2, 1), (1, 2)):
        address = f"/webgateway/render_image_region/{image}/0/0/?tile={level - 1},0,0,256,64&m=g&q=1&c=1|0:255$FFFFFF"
        found = np.asarray(picture(alice.get(address)))
        assert found.shape == (64, 256, 3)
        factor = {1: 2, 0: 1}[level - 1]
        assert np.abs(found[:, 100, 0].astype(int) - np.arange(64) * factor).max() < 6, step


def test_data_of_a_well(alice, world):
    answer = alice.get(f"/webgateway/wellData/{world.ids['Well', 10]}/").json()
    assert (answer["id"], answer["wellId"]) == (world.ids["Image", 46], world.ids["Well", 10])


def test_histogram(alice, five):
    bins = alice.get(f"/webgateway/histogram_json/{five}/channel/0/?theZ=0&theT=0").json()["data"]
    assert (len(bins), sum(bins)) == (256, 2000)


def test_settings(bob, scrap):
    """Saved, copied to another image, reset."""
    image, other = scrap(), scrap()

    def shown(id):
        channel = bob.get(f"/webgateway/imgData/{id}/").json()["channels"][0]
        return channel["color"], channel["window"]["start"], channel["window"]["end"]

    first = shown(image)
    wanted = ("FF0000", 10.0, 100.0)
    assert first != wanted
    saved = bob.post(f"/webgateway/saveImgRDef/{image}/?m=c&c=1|10:100$FF0000&z=1&t=1&p=normal")
    assert (saved.status_code, saved.json()) == (200, "true")
    assert shown(image) == wanted
    assert bob.get(f"/webgateway/copyImgRDef/?fromid={image}").json() is True
    copied = bob.post("/webgateway/copyImgRDef/", {"toids": other, "to_type": "image"})
    assert copied.json() == {"true": [other], "false": []}
    assert shown(other) == wanted
    assert bob.post("/webgateway/resetRDef/", {"toids": image, "to_type": "image"}).json() == [image]
    assert shown(image) == first
    rdefs = bob.get(f"/webgateway/get_image_rdefs_json/{other}/").json()["rdefs"]
    assert [(r["owner"]["lastName"], r["c"][0]["end"]) for r in rdefs] == [("Test", 100.0)]


def test_channel_names(bob, scrap):
    image = scrap()
    answer = bob.post(f"/webclient/edit_channel_names/{image}/", {"channel0": "brightfield"})
    assert answer.json() == {"channelNames": {"channel0": "brightfield"}, "imageCount": 1, "updateCount": 1}
    assert bob.get(f"/webgateway/imgData/{image}/").json()["channels"][0]["label"] == "brightfield"


def test_files_of_an_image(alice, world, five):
    answer = alice.get(f"/webgateway/archived_files/download/{five}/")
    assert answer.content == (world.folder / "five d.ome.tif").read_bytes()
    assert "five" in answer.headers["Content-Disposition"]


def test_files_of_a_plate_may_not_be_downloaded(alice, world):
    assert alice.get(f"/webgateway/archived_files/download/{world.ids['Image', 32]}/").status_code == 500


def test_ome_tiff(alice, five):
    answer = alice.get(f"/webgateway/render_ome_tiff/i/{five}/")
    assert answer.status_code == 200
    assert answer.content[:2] in (b"II", b"MM")


def test_lookup_tables(alice):
    assert alice.get("/webgateway/luts/").json()["luts"] == []
