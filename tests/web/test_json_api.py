"""The JSON API, /api/v0."""

import pytest
from omero.model import PointI, RoiI
from omero.rtypes import rdouble

from tests.web.recorded import case, check


def test_servers(browse, world):
    recorded = case("api v0 servers")
    recorded["json"]["data"][0] |= {"port": world.server.port, "server": "embedded"}
    check(browse(None).get("/api/v0/servers/"), recorded)


def test_image(alice, world):
    """Of other pixels than there: their digest is another one."""
    recorded = case("api v0 image 54")
    image = world.ids["Image", 54]
    answer = alice.get(f"/api/v0/m/images/{image}/?childCount=true")
    digest = answer.json()["data"]["Pixels"]["omero:sha1"]
    recorded["json"]["data"]["Pixels"]["omero:sha1"] = digest
    check(answer, recorded)
    assert len(digest) == 40


def test_login(browse):
    """Clients of the API log in with JSON and a token."""
    browser = browse(None)
    token = browser.get("/api/v0/token/").json()["data"]
    answer = browser.post(
        "/api/v0/login/", {"username": "alice", "password": "not secret", "server": 1}, headers={"X-CSRFToken": token}
    )
    context = answer.json()["eventContext"]
    assert (context["userId"], context["groupName"], context["isAdmin"]) == (2, "ra", False)
    assert context["memberOfGroups"] == [3, 4, 5, 6, 1]
    assert browser.get("/api/v0/m/images/").status_code == 200


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("datasets/?owner=2&group=3&childCount=true", ["new ds"]),
        ("datasets/{Dataset:2}/images/", ["rgb.tif"]),
        ("images/{Image:54}/datasets/", ["new ds"]),
        ("screens/?owner=2", ["new screen", "s"]),
        ("screens/{Screen:2}/plates/", ["Plate Name 0"]),
        ("plates/{Plate:2}/plateacquisitions/", ["PlateAcquisition Name 0"]),
        ("images/?orphaned=true&owner=2&group=3&limit=2", ["five d.ome.tif", "large.tif"]),
        ("experimentergroups/", ["guest", "newgrp", "pr", "ra", "ro", "rw", "system", "user"]),
        ("experimenters/2/experimentergroups/", ["pr", "ra", "ro", "rw", "user"]),
    ],
)
def test_names(alice, world, address, names):
    for (kind, there), here in world.ids.items():
        address = address.replace(f"{{{kind}:{there}}}", str(here))
    answer = alice.get(f"/api/v0/m/{address}").json()
    assert [entry["Name"] for entry in answer["data"]] == names
    assert answer["meta"]["limit"] == (2 if "limit" in address else 200)


def test_wells_of_a_field(alice, world):
    plate = world.ids["Plate", 2]
    wells = alice.get(f"/api/v0/m/plates/{plate}/wellsampleindex/1/wells/").json()["data"]
    assert [(well["Row"], well["Column"]) for well in wells] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    images = [sample["Image"]["omero:series"] for well in wells for sample in well["WellSamples"]]
    assert images == [1, 5, 3, 7]


def test_regions_of_interest(bob, scrap, world):
    image = scrap()
    conn = world.connect("bob")
    try:
        conn.SERVICE_OPTS.setOmeroGroup(6)
        roi, point = RoiI(), PointI()
        point.x, point.y = rdouble(3), rdouble(4.5)
        roi.addShape(point)
        roi.image = conn.getObject("Image", image)._obj.proxy()
        conn.getUpdateService().saveObject(roi, conn.SERVICE_OPTS)
    finally:
        conn.close()
    answer = bob.get(f"/api/v0/m/images/{image}/rois/").json()
    assert answer["meta"]["totalCount"] == 1
    assert [(shape["X"], shape["Y"]) for shape in answer["data"][0]["shapes"]] == [(3.0, 4.5)]
    shapes = bob.get(f"/webgateway/get_rois_json/{image}/").json()[0]["shapes"]
    assert [(shape["type"], shape["x"], shape["y"]) for shape in shapes] == [("Point", 3.0, 4.5)]


def test_save_and_delete(bob):
    kind = "http://www.openmicroscopy.org/Schemas/OME/2016-06#Dataset"
    made = bob.post("/api/v0/m/save/?group=6", json={"@type": kind, "Name": "by JSON", "Description": "d"})
    assert made.status_code == 201, made.text
    address = f"/api/v0/m/datasets/{made.json()['data']['@id']}/"
    assert bob.get(address).json()["data"]["Name"] == "by JSON"
    changed = bob.ajax("PUT", "/api/v0/m/save/", json={**bob.get(address).json()["data"], "Name": "changed"})
    assert changed.json()["data"]["Name"] == "changed"
    assert bob.ajax("DELETE", address).status_code == 200
    assert bob.get(address).status_code == 404


def test_not_found(alice):
    assert alice.get("/api/v0/m/images/99999/").status_code == 404
