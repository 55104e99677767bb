"""The tree on the left: containers, what is in them, and where an object is."""

import pytest

from tests.web.recorded import case, check, same
from tests.web.world import RA

PERMISSIONS = "canEdit canAnnotate canLink canDelete canChgrp isOwned"


@pytest.fixture
def orphans(world):
    """Function which counts images in no dataset and no well."""

    def count(**owner):
        store = world.server.core.store
        with store.lock:
            return sum(
                not (store.collection(i, i.entity.fields["datasetLinks"]) or
                     store.collection(i, i.entity.fields["wellSamples"]))
                for i in store.all("Image")
                if all(getattr(i, kind).id == id for kind, id in owner.items())
            )  # fmt: skip

    return count


@pytest.mark.parametrize(
    ("name", "address", "of"),
    [
        ("api containers", "/webclient/api/containers/?id=-1&group=-1", {}),
        ("api containers user", f"/webclient/api/containers/?id=2&group={RA}", {"owner": 2, "group": RA}),
    ],
)
def test_containers(alice, name, address, of, orphans):
    """Datasets and screens came there later."""
    recorded = case(name)
    recorded["json"] |= {n: case("api containers experimenter")["json"][n] for n in ("datasets", "screens")}
    recorded["json"]["orphaned"]["childCount"] = orphans(**of)
    answer = alice.get(address)
    if not of:  # other tests make things in other groups
        mine = answer.json()
        kept = {"datasets": ["new ds"], "projects": []}
        mine |= {kind: [o for o in mine[kind] if o["name"] in names] for kind, names in kept.items()}
        same(mine, recorded["json"])
    else:
        check(answer, recorded)


def test_project_with_dataset(bob, scrap):
    image = scrap(project="project", dataset="dataset")
    paths = bob.get(f"/webclient/api/paths_to_object/?image={image}").json()["paths"]
    same(paths, [[
        {"type": "experimenter", "id": 3}, {"type": "project", "id": 1},
        {"type": "dataset", "id": 2, "childCount": 1}, {"type": "image", "id": 3},
    ]])  # fmt: skip
    project, dataset = paths[0][1]["id"], paths[0][2]["id"]
    entry = {"id": project, "name": "project", "ownerId": 3, "childCount": 1, "permsCss": PERMISSIONS}
    assert entry in bob.get("/webclient/api/containers/?id=3&group=6").json()["projects"]
    assert bob.get(f"/webclient/api/datasets/?id={project}").json()["datasets"] == [
        {"id": dataset, "name": "dataset", "ownerId": 3, "childCount": 1, "permsCss": PERMISSIONS}
    ]
    found = bob.get(f"/webclient/api/images/?id={dataset}").json()["images"]
    assert [(entry["id"], entry["ownerId"]) for entry in found] == [(image, 3)]
    assert bob.get(f"/webclient/api/parent_links/?image={image}").json()["data"][0]["parent"] == {
        "type": "dataset", "id": dataset,
    }  # fmt: skip


def test_path_to_a_well(alice, world):
    paths = alice.get(f"/webclient/api/paths_to_object/?well={world.ids['Well', 10]}").json()["paths"]
    assert {tuple(step["type"] for step in path) for path in paths} == {
        ("experimenter", "screen", "plate", "acquisition")
    }


def test_other_user_sees_without_rights(browse, world):
    """In a group where others may annotate."""
    found = browse("bob").get(f"/webclient/api/images/?id={world.ids['Dataset', 2]}").json()["images"]
    assert [(entry["name"], entry["permsCss"]) for entry in found] == [("rgb.tif", "canAnnotate")]


def test_pages_of_orphans(alice):
    names = [entry["name"] for entry in case("api images orphaned (2)")["json"]["images"]]
    address = f"/webclient/api/images/?orphaned=true&experimenter_id=2&group={RA}&limit=4&page="
    pages = [[entry["name"] for entry in alice.get(f"{address}{n}").json()["images"]] for n in (1, 2, 3, 4)]
    assert pages == [names[:4], names[4:8], names[8:], []]


def test_make_link_and_rename(bob, scrap):
    image = scrap()
    made = bob.post("/webclient/action/addnewcontainer/", {"folder_type": "project", "name": "made"}).json()["id"]
    inside = bob.post(
        f"/webclient/action/addnewcontainer/project/{made}/", {"folder_type": "dataset", "name": "inside"}
    ).json()["id"]
    link = {"dataset": {str(inside): {"image": [image]}}}
    assert bob.ajax("POST", "/webclient/api/links/", json=link).json() == {"success": True}
    assert bob.post(f"/webclient/action/savename/dataset/{inside}/", {"name": "renamed"}).json()["bad"] == "false"
    found = bob.get(f"/webclient/api/datasets/?id={made}").json()["datasets"]
    assert [(entry["name"], entry["childCount"]) for entry in found] == [("renamed", 1)]
    assert bob.ajax("DELETE", "/webclient/api/links/", json=link).json() == {"success": True}
    assert bob.get(f"/webclient/api/images/?id={inside}").json()["images"] == []


def test_plate_page(alice, world):
    page = alice.get(f"/webclient/load_plate/plate/{world.ids['Plate', 2]}/")
    assert page.status_code == 200
    assert "spw" in page.text


def test_calendar_needs_the_timeline(alice, missing):
    """Which is not modelled, and says so."""
    missing.add("omero.api.ITimeline")
    assert alice.get("/webclient/load_calendar/").status_code == 500


def test_search(alice, world):
    page = alice.get("/webclient/load_searching/form/?query=five&datatype=images&field=name").text
    assert f'id="image-{world.ids["Image", 1]}"' in page
    assert "rgb.tif" not in page
