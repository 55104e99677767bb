"""Raw files, annotations and their links, deletion, moving, copying."""

import hashlib
import os
import tempfile

import omero
from omero.cmd import Chgrp2, Delete2, Duplicate
from omero.rtypes import rlong, rstring, unwrap

from embedded_omero.conformance import case, finish, rows


def new_file(w, who="alice", name="f.txt", path="/conf/files/"):
    f = omero.model.OriginalFileI()
    f.name, f.path, f.mimetype = rstring(name), rstring(path), rstring("text/plain")
    return w.save(who, f)


def new_image(w, name, dataset=None, who="alice"):
    i = omero.model.ImageI()
    i.name = rstring(name)
    if dataset:
        i.linkDataset(omero.model.DatasetI(dataset, False))
    return w.save(who, i).id.val


def new_dataset(w, name="temporary", who="alice"):
    d = omero.model.DatasetI()
    d.name = rstring(name)
    return w.save(who, d).id.val


def annotate(w, cls, parent, annotation, who="alice"):
    lk = getattr(omero.model, cls + "AnnotationLinkI")()
    lk.parent, lk.child = getattr(omero.model, cls + "I")(parent, False), annotation
    return w.save(who, lk)


def count(w, cls, id):
    return unwrap(
        w.sf("alice")
        .getQueryService()
        .projection(f"select count(x) from {cls} x where x.id={id}", None, {"omero.group": "-1"})
    )[0][0]


@case("files")
def raw_file(w, a):
    f = new_file(w)
    a("saved", lambda: f)
    s = w.sf("alice").createRawFileStore()
    a("unset", lambda: s.size())
    s.setFileId(f.id.val)
    a("getFileId", lambda: s.getFileId().val == f.id.val)
    a("exists before", lambda: s.exists())
    a("size before", lambda: s.size())
    a("write", lambda: s.write(b"hello world", 0, 11))
    a("write with gap", lambda: s.write(b"xy", 15, 2))
    a("size", lambda: s.size())
    a("read", lambda: s.read(0, 17).hex())
    a("read beyond end", lambda: s.read(10, 100).hex())
    a("read after end", lambda: s.read(100, 5).hex())
    a("truncate", lambda: s.truncate(5))
    a("truncate longer", lambda: s.truncate(50))
    a("size after", lambda: s.size())
    a("save", lambda: (lambda o: [o.size, o.hash, o.hasher, o.mimetype, o.path, o.repo])(s.save()))
    a("exists", lambda: s.exists())
    s.close()
    a(
        "in the database",
        lambda: rows(
            w,
            "alice",
            "select f.size, f.hash, h.value from OriginalFile f left outer join f.hasher h where f.id=:i",
            i=f.id.val,
        ),
    )


@case("files")
def hash_with_hasher(w, a):
    for name in ("SHA1-160", "MD5-128", "CRC-32"):
        f = omero.model.OriginalFileI()
        f.name, f.path = rstring("hashed"), rstring("/conf/")
        f.hasher = omero.model.ChecksumAlgorithmI()
        f.hasher.value = rstring(name)
        f = w.save("alice", f)
        s = w.sf("alice").createRawFileStore()
        s.setFileId(f.id.val)
        s.write(b"hello", 0, 5)
        s.save()
        s.close()
        a(
            name,
            lambda: [
                [x.val if x else None for x in r]
                for r in rows(w, "alice", "select f.size, f.hash from OriginalFile f where f.id=:i", i=f.id.val)
            ],
        )


@case("files")
def save_on_close(w, a):
    """Is size and hash set when the store is only closed?"""
    f = new_file(w, name="closed.txt")
    s = w.sf("alice").createRawFileStore()
    s.setFileId(f.id.val)
    s.write(b"abc", 0, 3)
    s.close()
    a("size", lambda: rows(w, "alice", "select f.size, f.hash from OriginalFile f where f.id=:i", i=f.id.val))


@case("files")
def raw_file_errors(w, a):
    s = w.sf("alice").createRawFileStore()
    a("unknown id", lambda: s.setFileId(99999999))
    s.close()
    s = w.sf("bob").createRawFileStore()
    fid = w.id("OriginalFile", "notes.csv")
    a("others may read in ra", lambda: (s.setFileId(fid), s.read(0, 8))[1])
    a("others may not write", lambda: s.write(b"z", 0, 1))
    s.close()
    s = w.sf("dave").createRawFileStore()
    a("foreign group", lambda: s.setFileId(fid))
    s.close()
    s = w.sf("alice").createRawFileStore()
    s.setFileId(fid)
    a("negative", lambda: s.read(-1, 5))
    a("more than there is", lambda: s.write(b"z", 0, 5))
    s.close()


@case("files")
def file_annotation_from_local_file(w, a):
    conn = w.gw("alice")
    fd, path = tempfile.mkstemp(suffix=".txt")
    os.write(fd, b"line\n" * 10)
    os.close(fd)
    fa = conn.createFileAnnfromLocalFile(
        path, origFilePathAndName="/a/b/c.txt", mimetype="text/plain", ns="conf.local", desc="about"
    )
    os.remove(path)
    f = fa.getFile()
    a(
        "file",
        lambda: [
            f.getName(),
            str(f.path),
            f.getSize(),
            f.getHash() == hashlib.sha1(b"line\n" * 10).hexdigest(),
            f.mimetype,
            fa.getNs(),
            fa.getDescription(),
        ],
    )
    a("download", lambda: b"".join(fa.getFileInChunks()))
    a("file name", lambda: fa.getFileName())


@case("files")
def list_annotations(w, a):
    conn = w.gw("alice")
    img = conn.getObject("Image", w.id("Image", "img_u16"))
    a("all", lambda: sorted(str([x.__class__.__name__, x.getNs()]) for x in img.listAnnotations()))
    a("ns", lambda: [x.getValue() for x in img.listAnnotations(ns="conf.map")])
    a("getAnnotation", lambda: img.getAnnotation("conf.text").getValue())
    a("missing", lambda: img.getAnnotation("nope"))
    a("count", lambda: img.getAnnotationCounts())
    a("orphans", lambda: sorted(str(x.getValue()) for x in img.listOrphanedAnnotations(anntype="Tag")))
    a("links", lambda: len(list(conn.getAnnotationLinks("Image", parent_ids=[img.getId()]))))


@case("files")
def link_and_unlink(w, a):
    conn = w.gw("alice")
    img = conn.getObject("Image", new_image(w, "to annotate"))
    tag = omero.gateway.TagAnnotationWrapper(conn)
    tag.setValue("own tag")
    tag.setNs("conf.unlink")
    linked = img.linkAnnotation(tag)
    a("link", lambda: linked.getValue())
    a("same again", lambda: img.linkAnnotation(tag, sameOwner=True).getValue())
    a("count", lambda: len(list(img.listAnnotations())))
    a("unlink", lambda: img.unlinkAnnotations("conf.unlink"))
    a("after", lambda: len(list(img.listAnnotations())))
    a("the tag remains", lambda: count(w, "TagAnnotation", linked.getId()))


@case("files")
def delete_dataset_with_image(w, a):
    d = new_dataset(w)
    i = new_image(w, "inside", d)
    j = new_image(w, "shared with D orphan", d)
    lk = omero.model.DatasetImageLinkI()
    lk.parent, lk.child = w.ref("Dataset", "D orphan"), omero.model.ImageI(j, False)
    w.save("alice", lk)
    tag = w.sf("alice").getUpdateService().saveAndReturnObject(omero.model.CommentAnnotationI())
    annotate(w, "Image", i, omero.model.CommentAnnotationI(tag.id.val, False))
    shared = omero.model.TagAnnotationI()
    shared.textValue = rstring("survives")
    shared = annotate(w, "Image", i, shared).child.id.val
    a("dry run", lambda: finish(w, "alice", Delete2(targetObjects={"Dataset": [d]}, dryRun=True)))
    a("delete", lambda: finish(w, "alice", Delete2(targetObjects={"Dataset": [d]})))
    a(
        "left",
        lambda: [
            count(w, "Dataset", d),
            count(w, "Image", i),
            count(w, "Image", j),
            count(w, "CommentAnnotation", tag.id.val),
            count(w, "TagAnnotation", shared),
        ],
    )
    w.submit("alice", Delete2(targetObjects={"Image": [j]}))


@case("files")
def delete_keeping_children(w, a):
    d = new_dataset(w)
    i = new_image(w, "kept", d)
    a(
        "delete",
        lambda: finish(
            w,
            "alice",
            Delete2(targetObjects={"Dataset": [d]}, childOptions=[omero.cmd.graphs.ChildOption(excludeType=["Image"])]),
        ),
    )
    a("left", lambda: [count(w, "Dataset", d), count(w, "Image", i)])


@case("files")
def delete_errors(w, a):
    a("missing", lambda: finish(w, "alice", Delete2(targetObjects={"Dataset": [99999999]})))
    a("unknown type", lambda: finish(w, "alice", Delete2(targetObjects={"Nope": [1]})))
    a("nothing", lambda: finish(w, "alice", Delete2(targetObjects={})))
    a("no targets", lambda: finish(w, "alice", Delete2()))
    d = new_dataset(w)
    a(
        "twice",
        lambda: [
            finish(w, "alice", Delete2(targetObjects={"Dataset": [d]})),
            finish(w, "alice", Delete2(targetObjects={"Dataset": [d]})),
        ],
    )


@case("files")
def delete_annotation(w, a):
    i = new_image(w, "with comment")
    c = omero.model.CommentAnnotationI()
    c.textValue = rstring("x")
    c = annotate(w, "Image", i, c)
    a("link only", lambda: finish(w, "alice", Delete2(targetObjects={"ImageAnnotationLink": [c.id.val]})))
    a("comment remains", lambda: count(w, "CommentAnnotation", c.child.id.val))
    a("annotation", lambda: finish(w, "alice", Delete2(targetObjects={"Annotation": [c.child.id.val]})))
    f = omero.model.FileAnnotationI()
    f.file = omero.model.OriginalFileI(new_file(w).id.val, False)
    f = w.save("alice", f)
    a("file annotation", lambda: finish(w, "alice", Delete2(targetObjects={"FileAnnotation": [f.id.val]})))
    a("its file", lambda: count(w, "OriginalFile", f.file.id.val))


@case("files")
def delete_objects_of_gateway(w, a):
    conn = w.gw("alice")
    d = new_dataset(w)
    a("deleteObjects", lambda: conn.deleteObjects("Dataset", [d], wait=True))
    a("gone", lambda: conn.getObject("Dataset", d))
    a("deleteObject", lambda: conn.deleteObject(conn.getObject("Dataset", new_dataset(w))._obj))
    a("empty ids", lambda: conn.deleteObjects("Dataset", []))


@case("files")
def chgrp(w, a):
    d = new_dataset(w)
    i = new_image(w, "moves", d)
    a("response", lambda: finish(w, "alice", Chgrp2(targetObjects={"Dataset": [d]}, groupId=w.group("rw"))))

    def group(cls, id):
        return rows(w, "alice@-1", f"select x.details.group.id from {cls} x where x.id=:i", "ExperimenterGroup", i=id)

    a("groups now", lambda: [group("Dataset", d), group("Image", i)])
    a(
        "link now",
        lambda: rows(
            w,
            "alice@-1",
            "select l.details.group.id from DatasetImageLink l where l.parent.id=:i",
            "ExperimenterGroup",
            i=d,
        ),
    )
    e = new_dataset(w)
    lk = omero.model.ProjectDatasetLinkI()
    lk.parent, lk.child = w.ref("Project", "p two"), omero.model.DatasetI(e, False)
    w.save("alice", lk)
    a("out of a project", lambda: finish(w, "alice", Chgrp2(targetObjects={"Dataset": [e]}, groupId=w.group("rw"))))
    a(
        "to the same group",
        lambda: finish(w, "alice", Chgrp2(targetObjects={"Dataset": [new_dataset(w)]}, groupId=w.group("ra"))),
    )


@case("files")
def duplicate(w):
    d = new_dataset(w, "original")
    new_image(w, "i", d)
    return finish(w, "alice", Duplicate(targetObjects={"Dataset": [d]}))


@case("files")
def handle_of_command(w, a):
    d = new_dataset(w)
    h = w.sf("alice").submit(Delete2(targetObjects={"Dataset": [d]}))
    cb = omero.callbacks.CmdCallbackI(w.client("alice"), h)
    cb.loop(20, 500)
    a("status", lambda: {k: getattr(h.getStatus(), k) for k in ("currentStep", "steps")})
    a("flags", lambda: sorted(str(x) for x in h.getStatus().flags))
    a("request", lambda: h.getRequest().__class__.__name__)
    a("cancel when finished", lambda: h.cancel())
    cb.close(True)


@case("files")
def do_all(w, a):
    x, y = new_dataset(w), new_dataset(w)
    rsp = w.submit(
        "alice", omero.cmd.DoAll([Delete2(targetObjects={"Dataset": [x]}), Delete2(targetObjects={"Dataset": [y]})])
    )
    a("responses", lambda: [rsp.__class__.__name__, [r.__class__.__name__ for r in rsp.responses]])


@case("files")
def tables(w, a):
    r = w.sf("alice").sharedResources()
    a("enabled", lambda: r.areTablesEnabled())
    t = r.newTable(r.repositories().descriptions[0].id.val, "conf.h5")
    g = omero.grid
    a(
        "initialize",
        lambda: t.initialize(
            [
                g.LongColumn("id", "", []),
                g.DoubleColumn("v", "dv", []),
                g.StringColumn("s", "", 8, []),
                g.BoolColumn("b", "", []),
            ]
        ),
    )
    a(
        "addData",
        lambda: t.addData(
            [
                g.LongColumn("id", "", [1, 2, 3]),
                g.DoubleColumn("v", "", [0.5, 1.5, 2.5]),
                g.StringColumn("s", "", 8, ["a", "bb", "ccc"]),
                g.BoolColumn("b", "", [True, False, True]),
            ]
        ),
    )
    a("rows", lambda: t.getNumberOfRows())
    a("headers", lambda: [[c.__class__.__name__, c.name, c.description] for c in t.getHeaders()])
    a("where", lambda: t.getWhereList("(v > 1) & (id < 3)", {}, 0, 10, 1))
    a("where with variable", lambda: t.getWhereList("id == x", {"x": rlong(3)}, 0, 10, 1))
    a("where string", lambda: t.getWhereList("s == 'bb'", {}, 0, 10, 1))
    a("bad where", lambda: t.getWhereList("nope > 1", {}, 0, 10, 1))
    a("read", lambda: [c.values for c in t.read([0, 1, 2], 0, 2).columns])
    a("readCoordinates", lambda: [c.values for c in t.readCoordinates([2, 0]).columns])
    a("slice", lambda: (lambda d: [list(d.rowNumbers), [c.values for c in d.columns]])(t.slice([1], [1, 2])))
    a("outside", lambda: t.readCoordinates([7]))
    a(
        "too long text",
        lambda: t.addData(
            [
                g.LongColumn("id", "", [4]),
                g.DoubleColumn("v", "", [4.0]),
                g.StringColumn("s", "", 8, ["123456789"]),
                g.BoolColumn("b", "", [True]),
            ]
        ),
    )
    a("wrong columns", lambda: t.addData([g.LongColumn("id", "", [4])]))
    a("metadata", lambda: (t.setMetadata("k", rstring("v")), t.getMetadata("k"))[1])
    f = t.getOriginalFile()
    a("file", lambda: rows(w, "alice", "select f.name, f.mimetype from OriginalFile f where f.id=:i", i=f.id.val))
    t.close()
    again = r.openTable(f)
    a("reopened", lambda: again.getNumberOfRows())
    again.close()
    a(
        "open something else",
        lambda: r.openTable(omero.model.OriginalFileI(w.id("OriginalFile", "notes.csv"), False)).getNumberOfRows(),
    )
    a("open unknown", lambda: r.openTable(omero.model.OriginalFileI(99999999, False)))
