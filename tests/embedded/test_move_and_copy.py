"""Moving to other groups and copying."""

import pytest
from omero.cmd import Chgrp2, Duplicate

from tests.embedded.lab import IMAGE, numbers, targets

# -- Chgrp2


def move(lab, *records, to="rw", **options):
    return Chgrp2(targets(records), groupId=lab.groups[to].id if to in lab.groups else lab.foreign.id, **options)


def test_move_takes_contents_along_and_cuts_links(lab):
    project, dataset, image = lab.make("Project"), lab.make("Dataset"), lab.image()
    tag, shared = lab.make("TagAnnotation"), lab.make("TagAnnotation")
    for parent, child in ((project, dataset), (dataset, image), (image, tag), (image, shared), (project, shared)):
        lab.link(parent, child)
    fileset, file = lab.fileset(image)
    dry = lab.run(move(lab, dataset, dryRun=True))
    assert image.group is lab.groups["ra"]
    response = lab.run(move(lab, dataset))
    assert (response.includedObjects, response.deletedObjects) == (dry.includedObjects, dry.deletedObjects)
    assert numbers(response.deletedObjects) == {"ProjectDatasetLink": 1, "ImageAnnotationLink": 1}
    assert numbers(response.includedObjects) == IMAGE | {
        "Dataset": 1, "DatasetImageLink": 1, "TagAnnotation": 1, "ImageAnnotationLink": 1, "Fileset": 1,
        "FilesetEntry": 1, "OriginalFile": 1,
    }  # fmt: skip
    rw, ra = lab.groups["rw"], lab.groups["ra"]
    assert [r.group for r in (dataset, image, tag, fileset, file, project, shared)] == [rw] * 5 + [ra] * 2


def test_move_into_a_private_group_leaves_others_settings_behind(lab):
    image = lab.image()
    pixels = next(lab.core.store.where("Pixels", image=image))
    settings = lab.settings(pixels, "bob")
    quantum = settings["quantization"]
    roi, comment = lab.make("Roi", "bob", image=image), lab.make("MapAnnotation", "bob")
    lab.link(image, comment, "bob")
    response = lab.run(move(lab, image, to="private"))
    assert numbers(response.deletedObjects) == {"RenderingDef": 1, "QuantumDef": 1, "Roi": 1, "ImageAnnotationLink": 1}
    assert lab.there(settings, quantum, roi, comment) == [False, False, False, True]
    assert image.group is lab.groups["private"]


def test_moves_which_are_refused(lab):
    images = [lab.image("one"), lab.image("two")]
    fileset, _ = lab.fileset(*images)
    bobs = lab.image(who="bob", group="rw")
    field = lab.plate(1)[2][0]
    assert lab.refusal(move(lab, images[0], to="foreign")).startswith("not-in-group: ")
    assert lab.refusal(move(lab, bobs, to="ra")) == f"does not own ome.model.core.Image[{bobs.id}]"
    assert lab.refusal(move(lab, images[0])) == (
        f"within Fileset[{fileset.id}] may not move Image[{images[0].id}] while Image[{images[1].id}] remains"
    )
    assert lab.refusal(move(lab, field)) == f"may not move Image[{field.id}] while WellSample[1] remains"
    instrument = lab.make("Instrument")
    loners = [lab.image(n, instrument=instrument) for n in "ab"]
    assert lab.refusal(move(lab, loners[0])).startswith(f"may not move Image[{loners[0].id}] while Instrument[")
    assert numbers(lab.run(move(lab, *loners)).includedObjects)["Instrument"] == 1


def test_administrators_move_data_of_others_anywhere(lab):
    dataset = lab.make("Dataset")
    lab.run(move(lab, dataset, to="foreign"), "root")
    assert dataset.group is lab.foreign


# -- Duplicate


def test_copy_has_everything_of_its_own(lab):
    image = lab.image()
    pixels = next(lab.core.store.where("Pixels", image=image))
    second = lab.make("Channel", pixels=pixels, logicalChannel=lab.make("LogicalChannel", name="second"))
    first = lab.core.store.collection(pixels, pixels.entity.fields["channels"])[0]
    lab.core.store.reorder(pixels, pixels.entity.fields["channels"], [second, first])
    pairs = lab.make("MapAnnotation", mapValue=[("a", "1")])
    lab.link(image, pairs)
    lab.settings(pixels, "bob")
    dry = lab.run(Duplicate(targets([image]), dryRun=True)).duplicates
    ids = lab.run(Duplicate(targets([image]))).duplicates
    assert numbers(ids) == numbers(dry)
    assert numbers(ids) == IMAGE | {"Channel": 2, "LogicalChannel": 2, "MapAnnotation": 1, "ImageAnnotationLink": 1}
    twin = lab.core.store.get("Image", ids["ome.model.core.Image"][0])
    its_pixels = next(lab.core.store.where("Pixels", image=twin))
    channels = lab.core.store.collection(its_pixels, its_pixels.entity.fields["channels"])
    assert [c["logicalChannel"]["name"] for c in channels] == ["second", "image"]
    assert lab.core.repositories.pixels_path(its_pixels).read_bytes() == b"planes"
    its_pairs = lab.core.store.get("MapAnnotation", ids["ome.model.annotations.MapAnnotation"][0])
    assert its_pairs["mapValue"] == [("a", "1")]
    assert its_pairs["mapValue"] is not pairs["mapValue"]


def test_copy_of_an_imported_image_has_files_of_its_own(lab):
    image = lab.image()
    _, file = lab.fileset(image)
    path = lab.core.repositories.path_of(file)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"tiff")
    ids = lab.run(Duplicate(targets([image]))).duplicates
    twin = lab.core.store.get("OriginalFile", ids["ome.model.core.OriginalFile"][0])
    lab.delete(image)
    assert lab.core.repositories.path_of(twin).read_bytes() == b"tiff"


@pytest.mark.parametrize(
    ("options", "images", "linked"),
    [
        ({}, 1, "copy"),
        ({"typesToReference": ["Image"]}, 0, "original"),
        ({"typesToIgnore": ["ome.model.core.Image"]}, 0, None),
    ],
)
def test_types_to_copy_refer_to_and_ignore(lab, options, images, linked):
    dataset, image = lab.make("Dataset"), lab.image()
    lab.link(dataset, image)
    ids = lab.run(Duplicate(targets([dataset]), **options)).duplicates
    assert len(ids.get("ome.model.core.Image", [])) == images
    twin = lab.core.store.get("Dataset", ids["ome.model.containers.Dataset"][0])
    children = [link["child"] for link in lab.core.store.where("DatasetImageLink", parent=twin)]
    assert [("original" if c is image else "copy") for c in children] == ([linked] if linked else [])


def test_copies_which_are_refused(lab):
    images = [lab.image("one"), lab.image("two")]
    fileset, _ = lab.fileset(*images)
    assert lab.refusal(Duplicate(targets(images[:1]))) == (
        f"within Fileset[{fileset.id}] may not duplicate Image[{images[0].id}] without Image[{images[1].id}] also"
    )
    assert lab.refusal(Duplicate({"Dataset": [1]}, typesToIgnore=["Nope"])) == "bad-class: there is no class Nope"
