"""What the browser reads of OMERO: containers, images, thumbnails, whose data."""

import io

import numpy as np
import omero.model
import pytest
from omero.rtypes import rstring
from PIL import Image

from openhcs_browser.model import ImageFacts, Node, Scope, account, children, describe, images, sections, thumbnails
from openhcs_core.omero.session import gateway
from tests.browser.conftest import CORNERS


@pytest.fixture
def conn(omero_conn):
    return gateway(omero_conn.c)


@pytest.fixture
def scope(omero_user):
    return Scope(omero_user.group_id, omero_user.id)


def names(nodes):
    return [(node.kind, node.name, node.count) for node in nodes]


def test_an_empty_account_has_nothing(conn, scope):
    assert sections(conn, scope) == []


def test_containers_level_by_level(conn, scope, plate, dataset, link):
    assert names(sections(conn, scope)) == [
        ("Datasets without a project", "Datasets without a project", 1),
        ("Plates without a screen", "Plates without a screen", 1),
    ]
    (growth,) = children(conn, scope, sections(conn, scope)[0])
    link("Project", "Yeast", "Dataset", growth.id)
    link("Screen", "Kinases", "Plate", plate[0])
    projects, screens = sections(conn, scope)
    (project,), (screen,) = children(conn, scope, projects), children(conn, scope, screens)
    assert names([projects, project, screens, screen]) == [
        ("Projects", "Projects", 1),
        ("Project", "Yeast", 1),
        ("Screens", "Screens", 1),
        ("Screen", "Kinases", 1),
    ]
    assert children(conn, scope, project) == [growth]
    assert children(conn, scope, screen) == [Node("Plate", plate[0], "Kinase plate", 0)]


def test_pages_follow_one_another_by_name(conn, scope, save):
    wanted = ["alpha", "Beta", "delta", "Gamma", "omega"]
    made = []
    for name in reversed(wanted):
        dataset = omero.model.DatasetI()
        dataset.name = rstring(name)
        made.append(dataset)
    save(*made)
    (section,) = sections(conn, scope)
    pages = [children(conn, scope, section, offset, 2) for offset in (0, 2, 4)]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [node.name for page in pages for node in page] == wanted


def test_fields_of_a_plate(conn, scope, plate):
    number, voxels = plate
    found = images(conn, scope, Node("Plate", number, "", 0))
    assert [(image.well, image.field + 1) for image in found] == list(voxels)
    assert {image.shape for image in found} == {(1, 2, 3, 64, 64)}
    assert describe(found) == "4 wells, 8 images, 48 planes, 393.2 KB (each 64 × 64, 2 channels, 3 Z, 1 T, uint16)"
    assert describe(found[:1]) == "1 well, 1 image, 6 planes, 49.2 KB (each 64 × 64, 2 channels, 3 Z, 1 T, uint16)"


def test_runs_of_a_plate(conn, scope, plate, save, omero_conn):
    number, _ = plate
    fields = images(conn, scope, Node("Plate", number, "", 0))
    for name, field in (("day 1", 0), ("", 1)):
        run = omero.model.PlateAcquisitionI()
        run.plate = omero.model.PlateI(number, False)
        run.name = rstring(name) if name else None
        (run_id,) = save(run)
        for well in {image.well_id for image in fields}:
            samples = conn.getObject("Well", well).listChildren()
            sample = omero_conn.getQueryService().get("WellSample", list(samples)[field].getId())
            sample.plateAcquisition = omero.model.PlateAcquisitionI(run_id, False)
            save(sample)
    (section,) = sections(conn, scope)
    (node,) = children(conn, scope, section)
    assert node.is_branch
    first, second = children(conn, scope, node)
    assert first.name == "day 1"
    assert second.name == f"Run {second.id}"
    assert [image.field for image in images(conn, scope, second)] == [1] * len(CORNERS)


def test_orphaned_images_and_one_without_pixels(conn, scope, omero_conn, save):
    image = omero_conn.createImageFromNumpySeq(iter([np.zeros((4, 5), "u1")]), "alone")
    failed = omero.model.ImageI()
    failed.name = rstring("broken")
    save(failed)
    (section,) = sections(conn, scope)
    assert (section.name, section.count) == ("Orphaned images", 2)
    alone, broken = images(conn, scope, section)
    assert alone == ImageFacts(image.getId(), "alone", image.getPixelsId(), (1, 1, 1, 4, 5), "uint8")
    assert (broken.pixels_id, broken.planes, broken.nbytes) == (None, 0, 0)


def test_thumbnails_are_of_the_right_images(conn, scope, plate):
    found = images(conn, scope, Node("Plate", plate[0], "", 0))
    pictures = thumbnails(conn, scope, [image.pixels_id for image in found] + [10**9])
    assert pictures.keys() == {image.pixels_id for image in found}
    for image in found[::2]:
        assert brightest(np.asarray(Image.open(io.BytesIO(pictures[image.pixels_id])))) == CORNERS[image.well]


def brightest(picture):
    """Colour (0 red, 1 green) and quadrant (down, right) of what is bright in a picture (Y, X, RGB)."""
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    means = {
        (colour, down, right): picture[
            down * height : (down + 1) * height, right * width : (right + 1) * width, colour
        ].mean()
        for colour in (0, 1)
        for down in (0, 1)
        for right in (0, 1)
    }
    return max(means, key=means.get)


def test_own_data_and_that_of_others(make_user, connect):
    ada = make_user(group="open", level="rwr---")
    bob = make_user(group="open")
    for user in (ada, bob):
        dataset = omero.model.DatasetI()
        dataset.name = rstring(f"of {user.name}")
        connect(user).getUpdateService().saveObject(dataset)
    conn = gateway(connect(ada).c)
    known = account(conn)
    assert known.user.user == ada.name
    assert known.group_id == ada.group_id
    (group,) = known.groups
    assert {member.id for member in group.members} == {ada.id, bob.id}

    def shown(owner):
        scope = Scope(ada.group_id, owner)
        return [node.name for section in sections(conn, scope) for node in children(conn, scope, section)]

    assert shown(ada.id) == [f"of {ada.name}"]
    assert shown(bob.id) == [f"of {bob.name}"]
    assert shown(None) == sorted([f"of {ada.name}", f"of {bob.name}"])


def test_in_a_private_group_everybody_sees_only_themselves(make_user, connect):
    ada = make_user(group="closed", level="rw----")
    make_user(group="closed")
    (group,) = account(gateway(connect(ada).c)).groups
    assert [member.id for member in group.members] == [ada.id]


def test_leaders_of_a_private_group_and_administrators_see_all(make_user, connect):
    leader = make_user(group="led", level="rw----", leader=True)
    other = make_user(group="led")
    (group,) = account(gateway(connect(leader).c)).groups
    assert {member.id for member in group.members} == {leader.id, other.id}
    groups = {group.name: group for group in account(gateway(connect().c)).groups}
    assert {member.id for member in groups["led"].members} == {leader.id, other.id}


def test_sizes_that_differ_are_not_told():
    image = ImageFacts(1, "a", 1, (1, 1, 1, 2, 2), "uint8")
    other = ImageFacts(2, "b", 2, (1, 1, 1, 2, 3), "float")
    assert describe([image, other]) == "2 images, 2 planes, 28 B"
    assert describe([]) == "nothing"


def test_no_thumbnails_of_nothing(conn, scope):
    assert thumbnails(conn, scope, []) == {}
