"""Who may see and do what with the data of others, in groups of the four permission levels."""

import omero
from omero.cmd import Chgrp2, Delete2
from omero.rtypes import rstring

from embedded_omero.conformance import LEVELS, case, finish, rows


def link(w, who, group, user):
    """Link own new tag to the image of user."""
    tag = omero.model.TagAnnotationI()
    tag.textValue = rstring("linked by " + who)
    lk = omero.model.ImageAnnotationLinkI()
    lk.parent = omero.model.ImageI(w.id("Image", f"I {user} {group}"), False)
    lk.child = tag
    w.save(who + "@" + group, lk)
    return "linked"


def flags(w, who, group, user):
    d = w.sf(who).getQueryService().get("Dataset", w.id("Dataset", f"D {user} {group}"), {"omero.group": "-1"})
    return d.details.permissions


def rename(w, who, group, user):
    ctx = {"omero.group": str(w.group(group))}
    p = w.sf(who).getQueryService().get("Project", w.id("Project", f"P {user} {group}"), ctx)
    old = p.name
    p.description = rstring("edited by " + who)
    w.sf(who).getUpdateService().saveObject(p, ctx)
    return old


def put_in_own_project(w, who, group, user):
    p = omero.model.ProjectI()
    p.name = rstring("of " + who)
    p.linkDataset(omero.model.DatasetI(w.id("Dataset", f"D {user} {group}"), False))
    w.save(who + "@" + group, p)
    return "linked"


def new_dataset(w, who, group):
    d = omero.model.DatasetI()
    d.name = rstring("temporary")
    return w.save(who + "@" + group, d).id.val


for level in LEVELS:

    def visible(w, a, level=level):
        for who in ("alice", "carol", "eve", "root"):
            a(
                who,
                lambda: rows(
                    w,
                    who + "@" + level,
                    "select d.name from Dataset d where d.name like 'D %' and "
                    "d.details.group.id = :g and d.details.owner.omeName like 'bob%' order by d.name",
                    g=w.group(level),
                ),
            )
        a("dave", lambda: rows(w, "dave@" + level, "select d.name from Dataset d"))

    case("permissions", "visible_" + level)(visible)

    def flags_of_bobs_dataset(w, a, level=level):
        for who in ("alice", "bob", "carol", "eve", "root", "lite", "dave"):
            a(who, lambda: flags(w, who, level, "bob"))

    case("permissions", "flags_" + level)(flags_of_bobs_dataset)

    def acts(w, a, level=level):
        a("link tag", lambda: link(w, "alice", level, "bob"))
        a("edit", lambda: rename(w, "alice", level, "bob"))
        a("put into own project", lambda: put_in_own_project(w, "alice", level, "bob"))
        did = new_dataset(w, "bob", level)
        a("delete", lambda: finish(w, "alice@" + level, Delete2(targetObjects={"Dataset": [did]})))
        did = new_dataset(w, "bob", level)
        a(
            "chgrp",
            lambda: finish(
                w,
                "alice@" + level,
                Chgrp2(targetObjects={"Dataset": [did]}, groupId=w.group("ra" if level != "ra" else "rw")),
            ),
        )

    case("permissions", "alice_on_bobs_data_" + level)(acts)


@case("permissions")
def leader_acts(w, a):
    a("edit in private", lambda: rename(w, "carol", "private", "bob"))
    a("link tag in private", lambda: link(w, "carol", "private", "bob"))
    a("edit in ro", lambda: rename(w, "carol", "ro", "bob"))
    did = new_dataset(w, "bob", "private")
    a("delete in private", lambda: finish(w, "carol@private", Delete2(targetObjects={"Dataset": [did]})))


@case("permissions")
def by_id_in_wrong_group(w, a):
    q = w.sf("alice").getQueryService()
    d = w.id("Dataset", "D bob ro")
    a("session group", lambda: q.find("Dataset", d))
    a("its group", lambda: q.find("Dataset", d, {"omero.group": str(w.group("ro"))}).name)
    a("all groups", lambda: q.find("Dataset", d, {"omero.group": "-1"}).name)
    a("get in session group", lambda: q.get("Dataset", d))
    a("private of bob", lambda: q.get("Dataset", w.id("Dataset", "D bob private"), {"omero.group": "-1"}))


@case("permissions")
def image_and_pixels_flags(w, a):
    q = w.sf("alice").getQueryService()
    for typ, name in (("Image", "I bob rw"), ("Pixels", "I bob rw"), ("Image", "I alice rw")):
        a(typ + " " + name, lambda: q.get(typ, w.id(typ, name), {"omero.group": "-1"}).details.permissions)
    a("tag of bob in ra", lambda: q.get("TagAnnotation", w.id("Annotation", "T bob ra")).details.permissions)
    a("group object", lambda: q.get("ExperimenterGroup", w.group("ra")).details.permissions)
    a("experimenter object", lambda: q.get("Experimenter", w.id("Experimenter", "bob")).details.permissions)
    a(
        "enumeration",
        lambda: q.findByQuery("select t from PixelsType t where t.value='uint8'", None).details.permissions,
    )


@case("permissions")
def cross_group_link(w):
    """A dataset of one group in a project of another."""
    lk = omero.model.ProjectDatasetLinkI()
    lk.parent = omero.model.ProjectI(w.id("Project", "P alice rw"), False)
    lk.child = omero.model.DatasetI(w.id("Dataset", "D alice ra"), False)
    return w.save("alice@rw", lk)


@case("permissions")
def duplicate_link(w):
    """The unique constraint on parent, child and owner."""
    lk = omero.model.ProjectDatasetLinkI()
    lk.parent, lk.child = w.ref("Project", "P one"), w.ref("Dataset", "D one")
    return w.save("alice", lk)


@case("permissions")
def save_errors(w, a):
    u = w.sf("alice").getUpdateService()
    a("required field missing", lambda: u.saveAndReturnObject(omero.model.DatasetI()))
    a("null object", lambda: u.saveAndReturnObject(None))
    lk = omero.model.DatasetImageLinkI()
    lk.parent, lk.child = w.ref("Dataset", "D one"), omero.model.ImageI(99999999, False)
    a("link to a missing image", lambda: u.saveAndReturnObject(lk))
    a("unloaded object", lambda: u.saveAndReturnObject(w.ref("Dataset", "D one")))
    e = omero.model.ExperimenterI()
    e.omeName, e.firstName, e.lastName = rstring("x"), rstring("x"), rstring("x")
    a("experimenter by user", lambda: u.saveAndReturnObject(e))
    a("enumeration by user", lambda: u.saveAndReturnObject(omero.model.FormatI()))
    did = new_dataset(w, "alice", "ra")
    a("delete object by update service", lambda: u.deleteObject(omero.model.DatasetI(did, False)))
    a("and then", lambda: w.sf("alice").getQueryService().find("Dataset", did))
    a(
        "experimenter edits bob",
        lambda: (
            w.sf("alice")
            .getAdminService()
            .updateExperimenter(w.sf("alice").getAdminService().getExperimenter(w.id("Experimenter", "bob")))
        ),
    )


@case("permissions")
def save_returns(w, a):
    """What saveAndReturnObject gives back: loaded details, id, unloaded collections."""
    u = w.sf("alice").getUpdateService()
    p = omero.model.ProjectI()
    p.name = rstring("graph")
    d = omero.model.DatasetI()
    d.name = rstring("child")
    p.linkDataset(d)
    a("graph", lambda: u.saveAndReturnObject(p))
    a("array", lambda: u.saveAndReturnArray([w.ref("Dataset", "D orphan")]))
    a("ids", lambda: len(u.saveAndReturnIds([d, d])))
    loaded = w.sf("alice").getQueryService().get("Dataset", w.id("Dataset", "D orphan"))
    loaded.description = rstring("changed")
    a("update", lambda: u.saveAndReturnObject(loaded))
    a("stale copy", lambda: u.saveAndReturnObject(loaded).description)
    loaded.description = None
    a(
        "null a field",
        lambda: (
            u.saveAndReturnObject(
                w.sf("alice").getQueryService().get("Dataset", w.id("Dataset", "D orphan"))
            ).description
        ),
    )
