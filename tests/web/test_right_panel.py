"""What OMERO.web shows of one object, and annotations."""

import json

import pytest
from omero.constants.namespaces import NSBULKANNOTATIONS
from omero.gateway import FileAnnotationWrapper
from omero.grid import DoubleColumn, LongColumn

from tests.web.world import RW


def tags(new="", old=""):
    """The form: the name of a new tag, ids of others."""
    form = {"newtags-TOTAL_FORMS": int(bool(new)), "newtags-INITIAL_FORMS": 0, "newtags-MAX_NUM_FORMS": 1000}
    return {**form, "newtags-0-tag": new, "newtags-0-description": "", "newtags-0-tagset": "", "tags": old}


def annotations(browser, image, **which):
    found = browser.get(f"/webclient/api/annotations/?image={image}", params=which)
    assert found.status_code == 200
    return found.json()["annotations"]


@pytest.mark.parametrize(
    ("kind", "there"), [("dataset", 2), ("screen", 2), ("acquisition", 2), ("image", 31), ("image", 54)]
)
def test_details(alice, world, kind, there):
    id = world.ids[{"acquisition": "PlateAcquisition"}.get(kind, kind.capitalize()), there]
    answer = alice.get(f"/webclient/metadata_details/{kind}/{id}/")
    assert answer.status_code == 200
    assert f'data-id="{id}"' in answer.text or f"{kind}-{id}" in answer.text


def test_details_of_nothing(alice):
    assert alice.get("/webclient/metadata_details/image/99999/").status_code == 404


def test_hierarchy_and_preview(alice, world):
    image, well = world.ids["Image", 54], world.ids["Well", 10]
    assert alice.get(f"/webclient/metadata_hierarchy/image/{image}/").status_code == 200
    assert alice.get(f"/webclient/metadata_preview/well/{well}/").status_code == 200
    assert "DAPI" in alice.get(f"/webclient/metadata_acquisition/image/{world.ids['Image', 1]}/").text


def test_tag(bob, browse, scrap):
    image = scrap()
    made = bob.post("/webclient/annotate_tags/", {"image": image, **tags("my tag")}).json()
    (tag,) = made.pop("new")
    assert made == {"added": [], "removed": []}
    (found,) = annotations(bob, image, type="tag")
    assert (found["id"], found["textValue"], found["class"]) == (tag, "my tag", "TagAnnotationI")
    assert [entry["id"] for entry in bob.get(f"/webclient/api/tags/?id={tag}").json()["images"]] == [image]
    assert "my tag" in bob.get(f"/webclient/metadata_details/tag/{tag}/").text
    other = scrap()
    added = bob.post("/webclient/annotate_tags/", {"image": other, **tags(old=str(tag))}).json()
    assert added == {"added": [tag], "removed": [], "new": []}
    removed = bob.post(f"/webclient/action/remove/tag/{tag}/", {"parent": f"image-{image}"})
    assert removed.json() == {"bad": "false"}
    assert annotations(bob, image) == []
    assert [entry["id"] for entry in annotations(bob, other)] == [tag]


def test_comment(bob, browse, scrap):
    """Of somebody else, in a group where everybody may write."""
    image, alice = scrap(), browse()
    answer = alice.post("/webclient/annotate_comment/", {"image": image, "comment": "well done"})
    assert answer.json()["added_by"] == 2
    (found,) = annotations(bob, image)
    assert (found["textValue"], found["owner"], found["ns"]) == ("well done", {"id": 2}, None)
    assert bob.post(f"/webclient/action/delete/comment/{found['id']}/").json() == {"bad": "false"}
    (activity,) = [v for v in bob.life()[-1].values() if isinstance(v, dict)]
    assert (activity["status"], activity["dtype"], activity["did"]) == ("finished", "comment", found["id"])
    assert annotations(bob, image) == []


def test_no_comment_in_a_read_only_group(browse, world):
    (path,) = world.folder.glob("rgb.tif")
    image = world.import_file(path, group="ro").image_ids[0]
    alice, bob = browse(), browse("bob")
    assert alice.post("/webclient/annotate_comment/", {"image": image, "comment": "mine"}).status_code == 200
    bob.post("/webclient/annotate_comment/", {"image": image, "comment": "not mine"})
    assert [found["textValue"] for found in annotations(bob, image)] == ["mine"]


def test_key_value_pairs(bob, scrap):
    image = scrap()
    pairs = [["gene", "CDK1"], ["gene", "CDK2"], ["", "no key"]]
    made = bob.post("/webclient/annotate_map/", {"image": image, "mapAnnotation": json.dumps(pairs)}).json()["annId"]
    (found,) = annotations(bob, image, type="map")
    assert [found["id"]] == made
    assert (found["values"], found["ns"]) == (pairs, "openmicroscopy.org/omero/client/mapAnnotation")
    changed = {"annId": found["id"], "mapAnnotation": json.dumps(pairs[:1])}
    assert bob.post("/webclient/annotate_map/", changed).status_code == 200
    assert annotations(bob, image, type="map")[0]["values"] == pairs[:1]
    assert bob.post("/webclient/annotate_map/", {**changed, "mapAnnotation": "[]"}).status_code == 200
    assert annotations(bob, image) == []


def test_rating(bob, scrap):
    image = scrap()
    assert bob.post("/webclient/annotate_rating/", {"image": image, "rating": 4}).json() == {"success": True}
    assert [found["longValue"] for found in annotations(bob, image, type="rating")] == [4]


def test_file(bob, browse, scrap):
    image, content = scrap(), b"a,b\n1,2\n" * 10_000
    files = {"annotation_file": ("table.csv", content, "text/csv")}
    made = bob.post("/webclient/annotate_file/", {"image": image}, files=files).json()
    (found,) = annotations(bob, image, type="file")
    assert made == {"fileIds": [found["id"]]}
    file = found["file"]
    assert (file["name"], file["size"], file["mimetype"]) == ("table.csv", len(content), "text/csv")
    for address in (f"download_original_file/{file['id']}", f"annotation/{found['id']}"):
        answer = browse().get(f"/webclient/{address}/")  # another member of the group
        assert (answer.status_code, answer.content) == (200, content)
        assert "table.csv" in answer.headers["Content-Disposition"]
    attached = bob.get(f"/webclient/annotate_file/?image={scrap()}").text  # what could be attached to another image
    assert "table.csv" in attached


def test_table(bob, scrap, world):
    """Bulk annotations, as a table and as rows of an object."""
    image, conn = scrap(), world.connect("bob")
    try:
        conn.setGroupForSession(RW)
        columns = [LongColumn("Image", "", [image]), DoubleColumn("Area", "", [2.5])]
        table = conn.c.sf.sharedResources().newTable(1, "bulk_annotations")
        table.initialize(columns)
        table.addData(columns)
        file = table.getOriginalFile().id.val
        table.close()
        annotation = FileAnnotationWrapper(conn)
        annotation.setNs(NSBULKANNOTATIONS)
        annotation.setFile(conn.getObject("OriginalFile", file))
        conn.getObject("Image", image).linkAnnotation(annotation)
    finally:
        conn.close()
    rows = {"columns": ["Image", "Area"], "column_types": ["LongColumn", "DoubleColumn"], "rows": [[image, 2.5]]}
    for address in (f"{file}/query/?query=Area>2", f"Image/{image}/query/?query=*"):
        assert bob.get(f"/webgateway/table/{address}").json()["data"] == rows
    assert bob.get(f"/webgateway/table/{file}/query/?query=Area>3").json()["data"]["rows"] == []
    assert bob.get(f"/webclient/omero_table/{file}/csv/").text.splitlines() == ["Image,Area", f"{image},2.5"]


def test_several_images(bob, scrap):
    images = [scrap(), scrap()]
    assert bob.post("/webclient/annotate_comment/", {"image": images, "comment": "both"}).status_code == 200
    assert [len(annotations(bob, image)) for image in images] == [1, 1]
    page = bob.get("/webclient/batch_annotate/?" + "&".join(f"image={image}" for image in images))
    assert page.status_code == 200


def test_original_metadata(alice, world):
    """Tags of a plain TIFF file; of an OME-TIFF file there are none."""
    page = alice.get(f"/webclient/load_original_metadata/{world.ids['Image', 54]}/").text
    assert "PlanarConfiguration" in page
    tags = (
        "BitsPerSample=8", "Compression=Uncompressed", "ImageLength=20", "ImageWidth=30",
        "MetaDataPhotometricInterpretation=RGB", "MetaMorph=no", "NumberOfChannels=3", "PhotometricInterpretation=RGB",
        "PlanarConfiguration=Chunky", "ResolutionUnit=None", "SamplesPerPixel=3", "Software=tifffile.py",
        "XResolution=1.0", "YResolution=1.0",
    )  # fmt: skip
    for there, lines in ((54, tags), (1, ())):
        text = alice.get(f"/webclient/download_orig_metadata/{world.ids['Image', there]}/").text
        assert [line for line in text.splitlines() if line] == ["[Global Metadata]", *lines, "[Series Metadata]"]
