"""Deleting: what goes along, what stays, what is refused."""

import pytest
from omero.cmd import Chgrp2, Delete2
from omero.cmd.graphs import ChildOption

from tests.embedded.lab import IMAGE, numbers, targets


def test_container_goes_with_what_is_nowhere_else(lab):
    project, dataset, other = lab.make("Project"), lab.make("Dataset"), lab.make("Dataset")
    only, shared = lab.image("only"), lab.image("shared")
    for parent, child in ((project, dataset), (dataset, only), (dataset, shared), (other, shared)):
        lab.link(parent, child)
    dry = lab.delete(project, dryRun=True)
    assert all(lab.there(project, dataset, only))
    assert lab.delete(project) == dry
    assert numbers(dry) == IMAGE | {"Project": 1, "Dataset": 1, "ProjectDatasetLink": 1, "DatasetImageLink": 2}
    assert lab.there(project, dataset, only, shared, other) == [False, False, False, True, True]


def test_files_on_disk_go_too(lab):
    image, file = lab.image(), lab.make("OriginalFile", name="notes.txt", path="/")
    lab.link(image, lab.make("FileAnnotation", file=file))
    paths = [lab.core.repositories.path_of(file), *lab.core.repositories.root.glob("Pixels/*")]
    paths[0].write_bytes(b"text")
    assert numbers(lab.delete(image)) == IMAGE | {"ImageAnnotationLink": 1, "FileAnnotation": 1, "OriginalFile": 1}
    assert len(paths) == 2
    assert not any(p.exists() for p in paths)


def test_file_which_two_annotations_share_stays(lab):
    file = lab.make("OriginalFile", name="shared", path="/")
    one, two = lab.make("FileAnnotation", file=file), lab.make("FileAnnotation", file=file)
    assert numbers(lab.delete(one)) == {"FileAnnotation": 1}
    assert numbers(lab.delete(two)) == {"FileAnnotation": 1, "OriginalFile": 1}


def test_annotations_of_a_deleted_image(lab):
    image, other = lab.image(), lab.image("other")
    gone = [lab.make("TagAnnotation"), lab.make("CommentAnnotation", "bob"), lab.make("MapAnnotation")]
    kept = [lab.make("TagAnnotation", "bob"), lab.make("MapAnnotation", "bob"), lab.make("TagAnnotation")]
    for annotation in gone + kept:
        lab.link(image, annotation, annotation.owner["omeName"])
    lab.link(other, kept[2])
    assert numbers(lab.delete(image))["ImageAnnotationLink"] == 6
    assert lab.there(*gone) == [False, False, False]
    assert lab.there(*kept) == [True, True, True]


@pytest.mark.parametrize(("kind", "stays"), [("Tag", True), ("Comment", False), ("Long", False)])
def test_unlinking_deletes_only_what_is_worth_nothing_alone(lab, kind, stays):
    annotation = lab.make(f"{kind}Annotation")
    lab.delete(lab.link(lab.image(), annotation))
    assert lab.there(annotation) == [stays]


def test_tag_on_other_peoples_data_cannot_be_deleted(lab):
    tag, image = lab.make("TagAnnotation"), lab.image(who="bob")
    lab.link(image, tag, "bob")
    message = lab.refusal(Delete2({"TagAnnotation": [tag.id]}))
    assert message == f"may not delete TagAnnotation[{tag.id}] while Image[{image.id}] remains"


def test_fileset_is_deleted_as_a_whole(lab):
    images = [lab.image(str(n)) for n in range(3)]
    fileset, file = lab.fileset(*images)
    first, second, third = (i.id for i in images)
    message = lab.refusal(Delete2({"Image": [first, second]}))
    assert message == f"within Fileset[{fileset.id}] may not delete Image[{second}] while Image[{third}] remains"
    message = lab.refusal(Delete2({"OriginalFile": [file.id]}))
    assert message == f"may not delete OriginalFile[{file.id}] while FilesetEntry[1] remains"
    path = lab.core.repositories.path_of(file)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"tiff")
    assert numbers(lab.delete(*images)) == {k: 3 * v for k, v in IMAGE.items()} | {
        "Fileset": 1, "FilesetEntry": 1, "OriginalFile": 1,
    }  # fmt: skip
    assert not path.exists()
    assert path.parent.is_dir()


def test_dataset_with_a_part_of_a_fileset_leaves_the_images(lab):
    images = [lab.image("in"), lab.image("out")]
    lab.fileset(*images)
    dataset = lab.make("Dataset")
    lab.link(dataset, images[0])
    assert numbers(lab.delete(dataset)) == {"Dataset": 1, "DatasetImageLink": 1}


def test_plate_goes_with_its_images_and_wells_without(lab):
    plate, wells, images = lab.plate()
    message = lab.refusal(Delete2({"Image": [i.id for i in images]}))
    assert message.startswith("may not delete Image[")
    assert "while WellSample[" in message
    whole = numbers(lab.delete(plate, dryRun=True))
    assert whole == {k: 2 * v for k, v in IMAGE.items()} | {
        "Plate": 1, "PlateAcquisition": 1, "Well": 2, "WellSample": 2, "Fileset": 1, "FilesetEntry": 1,
        "OriginalFile": 1,
    }  # fmt: skip
    assert numbers(lab.delete(wells[0])) == {"Well": 1, "WellSample": 1}
    # One image is out of the plate now, so that the fileset cannot go with it.
    assert numbers(lab.delete(plate)) == {"Plate": 1, "PlateAcquisition": 1, "Well": 1, "WellSample": 1}
    assert all(lab.there(*images))


@pytest.mark.parametrize(
    ("option", "images", "tags"),
    [
        ({}, False, False),
        ({"excludeType": ["Image"]}, True, True),
        ({"excludeType": ["Annotation"]}, False, True),
        ({"excludeType": ["Annotation"], "excludeNs": ["lab"]}, False, False),
        ({"excludeType": ["Annotation"], "includeNs": ["lab"]}, False, True),
    ],
)
def test_child_options_exclude(lab, option, images, tags):
    dataset, image, tag = lab.make("Dataset"), lab.image(), lab.make("TagAnnotation", ns="lab")
    lab.link(dataset, image)
    lab.link(image, tag)
    lab.delete(dataset, childOptions=[ChildOption(**option)])
    assert lab.there(image, tag) == [images, tags]


def test_child_option_includes_what_is_also_elsewhere(lab):
    dataset, other, image = lab.make("Dataset"), lab.make("Dataset"), lab.image()
    lab.link(dataset, image)
    lab.link(other, image)
    lab.delete(dataset, childOptions=[ChildOption(includeType=["Image"])])
    assert lab.there(image, other) == [False, True]


@pytest.mark.parametrize("kind", ["TagAnnotation", "FileAnnotation", "MapAnnotation"])
def test_child_options_give_no_rights(lab, kind):
    image, annotation = lab.image(), lab.make(kind, "bob")
    lab.link(image, annotation, "bob")
    message = lab.refusal(Delete2({"Image": [image.id]}, childOptions=[ChildOption(includeType=["Annotation"])]))
    assert message == f"not permitted to delete {annotation.entity.java}[{annotation.id}]"


def test_what_may_be_missing_is_forgotten(lab):
    """A ROI of somebody else loses its image, it does not go with it."""
    image = lab.image()
    roi, own = lab.make("Roi", "bob", image=image), lab.make("Roi", image=image)
    shape = lab.make("Rectangle", roi=own)
    lab.delete(image)
    assert lab.there(roi, own, shape) == [True, False, False]
    assert roi["image"] is None


def test_others_settings_go_with_the_image(lab):
    image = lab.image()
    settings = lab.settings(next(lab.core.store.where("Pixels", image=image)), "bob")
    lab.delete(image)
    assert lab.there(settings) == [False]


@pytest.mark.parametrize(
    ("who", "group", "message"),
    [
        ("bob", "ra", "not permitted to delete ome.model.containers.Dataset[1]"),
        ("bob", "private", "cannot read ome.model.containers.Dataset[1]"),
    ],
)
def test_data_of_others(lab, who, group, message):
    dataset = lab.make("Dataset", group=group)
    assert lab.refusal(Delete2(targets([dataset])), who) == message


@pytest.mark.parametrize(("who", "group"), [("bob", "rw"), ("carol", "ra"), ("root", "private")])
def test_who_may_delete_data_of_others(lab, who, group):
    dataset = lab.make("Dataset", group=group)
    assert numbers(lab.delete(dataset, who=who)) == {"Dataset": 1}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Delete2({"Image": [99]}), "cannot read ome.model.core.Image[99]"),
        (Delete2({"Job": [9]}), "cannot read all the specified objects of class ome.model.jobs.Job"),
        (Delete2({"Pixels": [1]}), "bad-target: cannot target Pixels"),
        (Delete2({"Experimenter": [0]}), "bad-target: cannot target Experimenter"),
        (Delete2({"Nope": [1]}), "graph-fail: "),
        (Delete2({}, typesToIgnore=["Image"]), "not-implemented: Delete2 with typesToIgnore is not implemented"),
        (Chgrp2({"Shape": [1]}), "not-in-group: not a member of the chgrp destination group"),
    ],
)
def test_bad_requests(lab, request_, message):
    assert lab.refusal(request_, "alice") == message
