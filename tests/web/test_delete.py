"""Deleting and moving, and what OMERO.web says about it."""

import pytest

from tests.web.recorded import case, check, same
from tests.web.world import PR, RA, RO


@pytest.fixture
def there(world):
    """Function which tells whether an image still exists, and in which group."""

    def group(image):
        with world.server.core.store.lock:
            record = world.server.core.store.get("Image", image)
            return record and record.group.id

    return group


def delete(browser, name, image):
    """Delete as the tree does, and compare with what was recorded; counts there include what was deleted before."""
    check(browser.post("/webclient/action/deletemany/", {"image": image}), case(f"action deletemany {name[0]}"))
    recorded = case(f"activities_json life {name[1]}")
    failed = int(recorded[-1]["json"][next(iter(recorded[-1]["json"]))]["status"] == "failed")
    for step, failure in zip(recorded, (0, failed), strict=True):
        step["json"] |= {"failure": failure, "jobs": 1}
    seen = browser.life()
    same(seen[-1], recorded[-1]["json"])
    for step in seen[:-1]:
        same(step, recorded[0]["json"])


def test_one_of_a_fileset(alice, world, there):
    image = world.ids["Image", 43]
    delete(alice, ("one of three", "delete one image of a fileset"), image)
    assert there(image) == RA


def test_single_image(bob, scrap, there):
    image = scrap()
    delete(bob, ("single image", "delete one image"), image)
    assert there(image) is None


def test_missing_image(alice):
    delete(alice, ("missing image", "delete missing image"), 999999)


def test_several_kinds(bob, scrap, there):
    """A dataset with its contents, and an image."""
    images = [scrap(dataset="to go"), scrap()]
    with_it = bob.get(f"/webclient/api/paths_to_object/?image={images[0]}").json()["paths"][0][-2]["id"]
    answer = bob.post("/webclient/action/deletemany/", {"dataset": with_it, "image": images[1], "child": "on"})
    assert answer.json() == {"bad": "false"}
    activities = bob.life()[-1]
    assert (activities["jobs"], activities["failure"]) == (2, 0)
    assert [there(image) for image in images] == [None, None]


def test_of_others(browse, world, there):
    """In a group where others may only annotate."""
    bob, image = browse("bob"), world.ids["Image", 54]
    assert bob.post("/webclient/action/deletemany/", {"image": image}).json() == {"bad": "false"}
    assert bob.life()[-1]["failure"] == 1
    assert there(image) == RA


def test_move(bob, scrap, there):
    """Tried out first, then done; the annotation goes along."""
    image = scrap()
    bob.post("/webclient/annotate_comment/", {"image": image, "comment": "mine"})
    groups = bob.get(f"/webclient/load_chgrp_groups/?Image={image}").json()["groups"]
    assert {RA, RO, PR} <= {group["id"] for group in groups}
    job = bob.post("/webclient/chgrpDryRun/", {"Image": image, "group_id": RA}).text
    trial = bob.get("/webclient/activities_json/", params={"jobId": job}).json()
    assert (trial["finished"], trial["includedObjects"]["Images"]) == (True, [image])
    assert there(image) == 6
    answer = bob.post("/webclient/chgrp/", {"Image": image, "group_id": RO}).json()
    assert answer["update"]["remove"]["image"] == [image]
    (activity,) = (value for value in bob.life()[-1].values() if isinstance(value, dict))
    assert (activity["job_type"], activity["status"]) == ("chgrp", "finished")
    assert there(image) == RO
    found = bob.get(f"/webclient/api/annotations/?image={image}").json()["annotations"]
    assert [entry["textValue"] for entry in found] == ["mine"]


def test_part_of_a_fileset_cannot_be_moved(alice, world, there):
    image = world.ids["Image", 43]
    page = alice.get(f"/webclient/fileset_check/chgrp/?Image={image}").text
    assert "Multi-image filesets cannot be" in page
    alice.post("/webclient/chgrp/", {"Image": image, "group_id": RO})
    (activity,) = (value for value in alice.life()[-1].values() if isinstance(value, dict))
    assert (activity["job_type"], activity["status"]) == ("chgrp", "failed")
    assert there(image) == RA
