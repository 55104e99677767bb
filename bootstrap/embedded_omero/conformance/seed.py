"""Users, groups and data of the world.

alice owns, in group ra: projects, datasets, five images, annotations of every kind, a screen with a plate of 2 x 3
wells with two fields each, and two ROIs. In each of the groups of all levels alice and bob have a dataset with an
image, a tag and a project.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import omero
import omero.model
from omero.model import enums
from omero.rtypes import rbool, rdouble, rint, rlong, rstring, rtime

from .world import LEVELS, World

MICROMETER, NANOMETER = enums.UnitsLength.MICROMETER, enums.UnitsLength.NANOMETER
# Name, type, sizes Z, C, T, Y, X.
IMAGES = (
    ("img_u8", "uint8", 1, 1, 1, 12, 16),
    ("img_i16", "int16", 2, 1, 3, 10, 14),
    ("img_u16", "uint16", 3, 2, 2, 24, 32),
    ("img_f32", "float32", 1, 3, 1, 8, 8),
    ("img_orphan", "uint8", 1, 1, 1, 4, 5),
)
CONTENTS = (("D one", "img_u8"), ("D one", "img_i16"), ("D one", "img_u16"), ("d two", "img_f32"), ("d two", "img_u16"))
PAIRS = (("a", "1"), ("b", "2"), ("a", "3"))
# Name, class, namespace, value, more values.
ANNOTATIONS: tuple[tuple[str, str, str | None, dict[str, Any]], ...] = (
    ("Tag A", "Tag", None, {"textValue": rstring("Tag A"), "description": rstring("a tag")}),
    ("Tag B", "Tag", None, {"textValue": rstring("tag b")}),
    ("Set 1", "Tag", "openmicroscopy.org/omero/insight/tagset", {"textValue": rstring("Set 1")}),
    ("map", "Map", "conf.map", {"mapValue": [omero.model.NamedValue(*pair) for pair in PAIRS]}),
    ("comment", "Comment", "conf.text", {"textValue": rstring("a comment")}),
    ("rating", "Long", "openmicroscopy.org/omero/insight/rating", {"longValue": rlong(4)}),
    ("double", "Double", "conf.num", {"doubleValue": rdouble(2.5)}),
    ("bool", "Boolean", "conf.num", {"boolValue": rbool(True)}),
    ("time", "Timestamp", "conf.num", {"timeValue": rtime(1000000)}),
    ("xml", "Xml", "conf.xml", {"textValue": rstring("<a/>")}),
    ("term", "Term", "conf.term", {"termValue": rstring("GO:1")}),
)
ANNOTATED = (
    ("Image", "img_u16", ("Tag A", "map", "comment", "rating", "file", "double", "bool", "time", "xml", "term")),
    ("Image", "img_u8", ("Tag A", "Tag B")),
    ("Dataset", "D one", ("Tag B", "file")),
    ("Project", "P one", ("map",)),
)


def seed(world: World) -> None:
    """Make all of it; the first thing which fails is raised."""
    for step in (_accounts, _containers, _images, _channels, _annotations, _plate, _rois, _others):
        step(world)


def make(cls: str, **values: Any) -> omero.model.IObject:
    """A new object of omero.model."""
    obj = getattr(omero.model, cls + "I")()
    for name, value in values.items():
        setattr(obj, name, value)
    return obj


def planes(dtype: str, z: int, c: int, t: int, y: int, x: int) -> Iterator[np.ndarray]:
    """Planes of an image, (y, x) each, in the order of the gateway: Z outermost, then C, then T."""
    shift = {"i": -120, "u": 0, "f": 0}[np.dtype(dtype).kind]
    scale = 4 if np.dtype(dtype).kind == "f" else 1
    for iz, ic, it in np.ndindex(z, c, t):
        ramp = np.arange(y * x).reshape(y, x) % 251 + 10 * iz + 3 * ic + it + shift
        yield (ramp / scale).astype(dtype) if scale != 1 else ramp.astype(dtype)


def _link(world: World, who: str, parent: tuple[str, str], child: tuple[str, str]) -> None:
    link = make(f"{parent[0]}{child[0]}Link", parent=world.ref(*parent), child=world.ref(*child))
    world.save(who, link, f"{parent[1]} > {child[1]}")


def _image(world: World, who: str, name: str, dtype: str, z: int, c: int, t: int, y: int, x: int) -> None:
    image = world.gw(who).createImageFromNumpySeq(planes(dtype, z, c, t, y, x), name, z, c, t, f"about {name}")
    world.add(image._obj, name)
    world.add(image.getPrimaryPixels()._obj, name)


def _accounts(world: World) -> None:
    admin = world.sf("root").getAdminService()
    for name, level in {**LEVELS, "solo": "rw----"}.items():
        group = make("ExperimenterGroup", name=rstring(world.name(name)), ldap=rbool(False))
        group.details.permissions = omero.model.PermissionsI(level)
        world.add(admin.getGroup(admin.createGroup(group)), name)
    groups = {name: world.ref("ExperimenterGroup", name) for name in (*LEVELS, "solo")}
    roles = admin.getSecurityRoles()
    everybody, system = (omero.model.ExperimenterGroupI(id, False) for id in (roles.userGroupId, roles.systemGroupId))
    members = {"alice": tuple(LEVELS), "bob": tuple(LEVELS), "carol": tuple(LEVELS), "dave": ("solo",), "eve": ("ra",)}
    for name, its_groups in members.items():
        default = "ra" if "ra" in its_groups else "solo"
        others = [groups[g] for g in its_groups if g != default] + [everybody] + ([system] if name == "eve" else [])
        user = _user(world, name, name.capitalize(), "Tester", email=rstring(f"{name}@example.org"))
        id = admin.createExperimenterWithPassword(user, rstring(world.password), groups[default], others)
        world.add(admin.getExperimenter(id), name)
    for name in LEVELS:
        admin.setGroupOwner(groups[name], world.ref("Experimenter", "carol"))
    sudo = make("AdminPrivilege", value=rstring("Sudo"))
    lite = _user(world, "lite", "Lite", "Admin")
    id = admin.createRestrictedSystemUserWithPassword(lite, [sudo], rstring(world.password))
    world.add(admin.getExperimenter(id), "lite")


def _user(world: World, name: str, first: str, last: str, **values: Any) -> omero.model.Experimenter:
    world.users[name] = (world.name(name), world.password)
    names = {"omeName": rstring(world.name(name)), "firstName": rstring(first), "lastName": rstring(last)}
    return make("Experimenter", ldap=rbool(False), **names, **values)


def _containers(world: World) -> None:
    for name, text in (("P one", rstring("first project")), ("p two", None)):
        world.save("alice", make("Project", name=rstring(name), description=text), name)
    for name, parents in (("D one", ("P one", "p two")), ("d two", ("P one",)), ("D orphan", ())):
        world.save("alice", make("Dataset", name=rstring(name)), name)
        for parent in parents:
            _link(world, "alice", ("Project", parent), ("Dataset", name))


def _images(world: World) -> None:
    for image in IMAGES:
        _image(world, "alice", *image)
    for dataset, name in CONTENTS:
        _link(world, "alice", ("Dataset", dataset), ("Image", name))


def _channels(world: World) -> None:
    """Sizes in different units and two named, coloured channels for img_u16."""
    pixels = world.sf("alice").getQueryService().findByQuery(
        "select p from Pixels p left outer join fetch p.channels c left outer join fetch c.logicalChannel where p.id = "
        + str(world.id("Pixels", "img_u16")),
        None,
    )  # fmt: skip
    pixels.physicalSizeX = omero.model.LengthI(0.5, MICROMETER)
    pixels.physicalSizeY = omero.model.LengthI(500.0, NANOMETER)
    pixels.physicalSizeZ = omero.model.LengthI(2.0, MICROMETER)
    looks = (("DAPI", (0, 0, 255, 255), 461.0), ("GFP", (0, 255, 0, 255), 509.5))
    for channel, (name, rgba, wave) in zip(pixels.copyChannels(), looks, strict=True):
        channel.red, channel.green, channel.blue, channel.alpha = map(rint, rgba)
        channel.logicalChannel.name = rstring(name)
        channel.logicalChannel.emissionWave = omero.model.LengthI(wave, NANOMETER)
    for index, channel in enumerate(world.save("alice", pixels).copyChannels()):
        world.add(channel, f"img_u16 c{index}")
        world.add(channel.logicalChannel, f"img_u16 c{index}")


def _annotations(world: World) -> None:
    for name, cls, namespace, values in ANNOTATIONS:
        annotation = make(f"{cls}Annotation", **values)
        annotation.ns = rstring(namespace) if namespace else None
        world.save("alice", annotation, name)
    _link(world, "alice", ("Annotation", "Set 1"), ("Annotation", "Tag A"))
    file = make("OriginalFile", name=rstring("notes.csv"), path=rstring("/conf/"), mimetype=rstring("text/csv"))
    file = world.save("alice", file, "notes.csv")
    store = world.sf("alice").createRawFileStore()
    store.setFileId(file.id.val)
    store.write(b"x,y\n1,2\n", 0, 8)
    store.save()
    store.close()
    unloaded = omero.model.OriginalFileI(file.id.val, False)
    world.save("alice", make("FileAnnotation", ns=rstring("conf.file"), file=unloaded), "file")
    for kind, parent, names in ANNOTATED:
        for name in names:
            _link(world, "alice", (kind, parent), ("Annotation", name))


def _plate(world: World) -> None:
    numbered = {"rowNamingConvention": rstring("letter"), "columnNamingConvention": rstring("number")}
    world.save("alice", make("Screen", name=rstring("S one")), "S one")
    world.save("alice", make("Plate", name=rstring("PL one"), rows=rint(2), columns=rint(3), **numbered), "PL one")
    run = make(
        "PlateAcquisition", name=rstring("PA one"), plate=world.ref("Plate", "PL one"), maximumFieldCount=rint(2)
    )
    world.save("alice", run, "PA one")
    _link(world, "alice", ("Screen", "S one"), ("Plate", "PL one"))
    for row, column in np.ndindex(2, 3):
        name = f"{'AB'[row]}{column + 1}"
        well = make("Well", plate=world.ref("Plate", "PL one"), row=rint(row), column=rint(column))
        for field in (0, 1):
            _image(world, "alice", f"{name} f{field}", "uint8", 1, 1, 1, 6, 8)
            place = omero.model.LengthI(10.0 * field, MICROMETER)
            image, acquisition = world.ref("Image", f"{name} f{field}"), world.ref("PlateAcquisition", "PA one")
            well.addWellSample(make("WellSample", image=image, plateAcquisition=acquisition, posX=place))
        for field, sample in enumerate(world.save("alice", well, name).copyWellSamples()):
            world.add(sample, f"{name} f{field}")
    world.save("alice", make("Plate", name=rstring("pl orphan")), "pl orphan")


def _rois(world: World) -> None:
    box = {"textValue": rstring("box"), "theZ": rint(0), "theT": rint(1), "strokeColor": rint(-16776961)}
    rois = {
        "roi 1": (
            make("Rectangle", **_doubles(x=1, y=2, width=10, height=5), **box),
            make("Polygon", points=rstring("0,0 10,0 10,10"), theZ=rint(1)),
        ),
        "roi 2": (
            make("Mask", **_doubles(x=0, y=0, width=8, height=2), bytes=b"\xaa\x0f"),
            make("Point", **_doubles(x=3.5, y=4.25)),
        ),
    }
    for name, shapes in rois.items():
        roi = make("Roi", name=rstring(name), image=world.ref("Image", "img_u16"))
        for shape in shapes:
            roi.addShape(shape)
        for index, shape in enumerate(world.save("alice", roi, name).copyShapes()):
            world.add(shape, f"{name}/{index}")


def _doubles(**values: float) -> dict[str, omero.RDouble]:
    return {name: rdouble(value) for name, value in values.items()}


def _others(world: World) -> None:
    """Data of alice and bob in every group, and of dave in his."""
    for who in [f"{user}@{group}" for group in LEVELS for user in ("alice", "bob")] + ["dave@solo"]:
        name = who.replace("@", " ")
        world.save(who, make("Dataset", name=rstring(f"D {name}")), f"D {name}")
        _image(world, who, f"I {name}", "uint8", 1, 1, 1, 4, 4)
        _link(world, who, ("Dataset", f"D {name}"), ("Image", f"I {name}"))
        world.save(who, make("TagAnnotation", textValue=rstring(f"T {name}")), f"T {name}")
        world.save(who, make("Project", name=rstring(f"P {name}")), f"P {name}")
