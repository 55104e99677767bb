"""Deleting, moving and copying: what goes along, what stays, what is refused."""

import Ice
import omero
import omero.callbacks
import omero.gateway
import pytest
from omero.cmd import Chgrp2, CurrentSessionsRequest, Delete2, DoAll, Duplicate, SkipHead, UpdateSessionTimeoutRequest
from omero.cmd.graphs import ChildOption
from omero.rtypes import rlong, rstring

from embedded_omero.commands.base import Refused
from embedded_omero.commands.run import run
from embedded_omero.context import Call
from embedded_omero.core import Core


class Lab:
    """A server without sockets: alice, bob and carol (a leader) in groups of three levels; calls by name."""

    def __init__(self, core):
        self.core = core
        self.groups = {n: core.accounts.add_group(n, level) for n, level in
                       (("ra", "rwra--"), ("rw", "rwrw--"), ("private", "rw----"))}  # fmt: skip
        self.foreign = core.accounts.add_group("foreign", "rwra--")
        self.sessions = {}
        for name in ("alice", "bob", "carol"):
            member_of = [*self.groups.values(), core.accounts.group("user")]
            user = core.accounts.add_user(name, name, "Tester", member_of, None)
            core.accounts.set_leader(user, self.groups["ra"], name == "carol")
            self.sessions[name] = core.sessions.create(user)
        self.sessions["root"] = core.sessions.create(core.accounts.user("root"))

    def call(self, who="alice", group="ra"):
        return Call(self.core, self.sessions[who], None, {"omero.group": str(self.groups[group].id)})

    def make(self, entity, who="alice", group="ra", **values):
        return self.call(who, group).add(entity, values)

    def link(self, parent, child, who="alice", group="ra"):
        kind = "Annotation" if child.entity.root.name == "Annotation" else child.entity.name
        return self.make(f"{parent.entity.root.name}{kind}Link", who, group, parent=parent, child=child)

    def image(self, name="image", who="alice", group="ra", **values):
        """An image with one channel, settings of its owner and bytes on disk."""
        image = self.make("Image", who, group, name=name, **values)
        pixels = self.make("Pixels", who, group, image=image, sizeX=1)
        channel = self.make("LogicalChannel", who, group, name=name)
        self.make("Channel", who, group, pixels=pixels, logicalChannel=channel,
                  statsInfo=self.make("StatsInfo", who, group))  # fmt: skip
        self.settings(pixels, who, group)
        self.core.repositories.pixels_path(pixels).write_bytes(b"planes")
        return image

    def settings(self, pixels, who, group="ra"):
        quantum = self.make("QuantumDef", who, group)
        return self.make("RenderingDef", who, group, pixels=pixels, quantization=quantum)

    def fileset(self, *images, group="ra"):
        fileset = self.make("Fileset", group=group, templatePrefix="x/")
        file = self.make("OriginalFile", group=group, name="a.tif", path="x/", repo=self.core.repositories.managed_uuid)
        self.make("FilesetEntry", group=group, fileset=fileset, originalFile=file)
        for image in images:
            self.core.store.set(image, "fileset", fileset)
        return fileset, file

    def plate(self, wells=2):
        """A plate and its images, all of one fileset."""
        plate = self.make("Plate", name="plate")
        run_ = self.make("PlateAcquisition", plate=plate)
        images = [self.image(f"field {n}") for n in range(wells)]
        made = [self.make("Well", plate=plate, row=0, column=n) for n in range(wells)]
        for well, image in zip(made, images, strict=True):
            self.make("WellSample", well=well, image=image, plateAcquisition=run_)
        self.fileset(*images)
        return plate, made, images

    def run(self, request, who="alice", group="ra"):
        return run(self.call(who, group), request)

    def delete(self, *records, who="alice", **options):
        return self.run(Delete2(targets(records), **options), who).deletedObjects

    def refusal(self, request, who="alice"):
        """Message of the refusal; nothing must have changed."""
        before = self.count()
        with pytest.raises(Refused) as caught:
            self.run(request, who)
        assert self.count() == before
        response = caught.value.response
        return getattr(response, "message", "") or f"{response.name}: {response.parameters['message']}"

    def count(self):
        return sum(self.core.store.count(e) for e in self.core.store.model.entities if e != "Event")

    def there(self, *records):
        return [self.core.store.get(r.entity, r.id) is r for r in records]


def targets(records):
    found = {}
    for record in records:
        found.setdefault(record.entity.name, []).append(record.id)
    return found


def numbers(objects):
    """{'Image': 2} of {'ome.model.core.Image': [1, 2]}."""
    return {name.rpartition(".")[2]: len(ids) for name, ids in objects.items()}


@pytest.fixture
def lab(tmp_path):
    return Lab(Core(tmp_path, "secret"))


IMAGE = {"Image": 1, "Pixels": 1, "Channel": 1, "LogicalChannel": 1, "StatsInfo": 1, "RenderingDef": 1, "QuantumDef": 1}


# -- Delete2


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


# -- requests about requests, and about sessions


def test_several_requests_all_or_none(lab):
    datasets = [lab.make("Dataset") for _ in range(2)]
    requests = [Delete2(targets([d])) for d in datasets]
    lab.refusal(DoAll([*requests, Delete2({"Dataset": [99]})]))
    response = lab.run(DoAll(requests))
    assert [numbers(r.deletedObjects) for r in response.responses] == [{"Dataset": 1}] * 2
    assert lab.there(*datasets) == [False, False]


def test_requests_of_one_sequence_see_what_went_before(lab):
    images, tag = [lab.image(n) for n in "ab"], lab.make("TagAnnotation")
    for image in images:
        lab.link(image, tag)
    lab.run(DoAll([Delete2(targets([i])) for i in images]))
    assert lab.there(tag) == [False]


def test_skip_head_starts_below(lab):
    project, dataset, image = lab.make("Project"), lab.make("Dataset"), lab.image()
    lab.link(project, dataset)
    lab.link(dataset, image)
    request = SkipHead(targets([project]), startFrom=["Image"], request=Delete2())
    dry = SkipHead(targets([project]), startFrom=["Image"], request=Delete2(), dryRun=True)
    assert lab.run(dry).deletedObjects == lab.run(request).deletedObjects
    assert lab.there(project, dataset, image) == [True, True, False]


def test_unknown_requests_are_refused_by_name(lab):
    assert lab.refusal(omero.cmd.ManageImageBinaries()) == (
        "not-implemented: not implemented: ::omero::cmd::ManageImageBinaries"
    )


def test_sessions_of_others_are_hidden(lab):
    seen = lab.run(CurrentSessionsRequest())
    own = [s is not None for s in seen.sessions]
    assert [c.userName for c in seen.contexts] == ["alice", "bob", "carol", "root"]
    assert own == [True, False, False, False]
    assert [sorted(d) for d in seen.data] == [["hitCount", "lastAccessTime"], [], [], []]
    assert not seen.contexts[1].sessionUuid
    assert all(s is not None for s in lab.run(CurrentSessionsRequest(), "root").sessions)


TOO_LONG = "non-admin-increase: only administrators may raise timeToIdle above 6000000 ms"


@pytest.mark.parametrize(
    ("who", "values", "message"),
    [
        ("alice", {"timeToIdle": 1_000_000}, None),
        ("alice", {"timeToIdle": 10**9}, TOO_LONG),
        ("alice", {"timeToIdle": 0}, TOO_LONG),
        ("alice", {"timeToIdle": -1}, "bad-timeout: timeToIdle cannot be negative: -1"),
        ("alice", {"timeToLive": 5_000_000}, None),
        ("root", {"timeToIdle": 10**9}, None),
        ("bob", {"timeToIdle": 1}, "no-session: no session of yours: "),
    ],
)
def test_session_timeouts(lab, who, values, message):
    session = lab.sessions["alice"]
    request = UpdateSessionTimeoutRequest(session.uuid, **{k: rlong(v) for k, v in values.items()})
    if message is None:
        lab.run(request, who)
        assert [session.record[k] for k in values] == list(values.values())
    else:
        assert lab.refusal(request, who).startswith(message)


# -- handles, over the wire

omero_callbacks = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")


def new_dataset(conn):
    dataset = omero.model.DatasetI()
    dataset.name = rstring("temporary")
    return conn.getUpdateService().saveAndReturnObject(dataset).id.val


@omero_callbacks
def test_handle_tells_status_and_response(omero_conn):
    handle = omero_conn.c.sf.submit(Delete2({"Dataset": [new_dataset(omero_conn)]}), omero_conn.SERVICE_OPTS)
    callback = omero.callbacks.CmdCallbackI(omero_conn.c, handle)
    assert numbers(callback.loop(20, 500).deletedObjects) == {"Dataset": 1}
    status = handle.getStatus()
    assert (status.currentStep, status.steps, status.flags) == (5, 6, [])
    assert status.stopTime >= status.startTime > 0
    assert isinstance(handle.getRequest(), Delete2)
    assert handle.cancel() is False
    callback.close(True)
    with pytest.raises(Ice.ObjectNotExistException):
        handle.getStatus()


def test_handle_of_a_refused_command(omero_conn):
    handle = omero_conn.c.sf.submit(Delete2({"Dataset": [99999999]}, dryRun=True), omero_conn.SERVICE_OPTS)
    response = handle.getResponse()
    assert isinstance(response, omero.cmd.GraphException)
    assert (response.category, response.name) == ("::omero::cmd::Delete2", "graph-fail")
    status = handle.getStatus()
    assert {str(f) for f in status.flags} == {"CANCELLED", "FAILURE"}
    assert (status.currentStep, status.steps) == (0, 4)
    handle.close()


@omero_callbacks
def test_gateway_raises_for_a_refused_command(omero_conn):
    with pytest.raises(omero.CmdError):
        omero_conn.deleteObjects("Dataset", [99999999], wait=True)


def test_nothing_is_done_without_a_handle(omero_conn):
    """A call which lacks the client's id gets no handle, and must not delete either."""
    dataset = new_dataset(omero_conn)
    with pytest.raises(Ice.UnknownUserException, match="InternalException"):
        omero_conn.c.sf.submit(Delete2({"Dataset": [dataset]}), {"omero.group": "-1"})
    assert omero_conn.getObject("Dataset", dataset) is not None
