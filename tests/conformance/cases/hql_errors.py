"""What queries refuse; parameters, filters and rows of nulls."""

import omero
from omero.rtypes import rlist, rlong, rstring

from embedded_omero.conformance import R, case, query, rows

IMG, AL = R("Image", "img_u16"), R("Experimenter", "alice")

BAD = {
    "unknown entity": "select x from Nope x",
    "unknown property": "select d.nope from Dataset d",
    "unknown path in where": "select d from Dataset d where d.foo.bar = 1",
    "unknown alias": "select x from Dataset d",
    "syntax": "select d from Dataset d where",
    "syntax join": "select d from Dataset d join",
    "empty": "",
    "not a query": "hello world",
    "delete statement": "delete from Dataset",
    "update statement": "update Dataset set name='x'",
    "unbound parameter": "select d from Dataset d where d.id = :id",
    "unbalanced": "select d from Dataset d where (d.id = 1",
    "fetch without select": "select d.name from Dataset d join fetch d.imageLinks",
    "type mismatch": "select d from Dataset d where d.name = 1",
    "unknown function": "select nosuch(d.id) from Dataset d",
    "semicolon": "select d from Dataset d;",
}


@case("hql")
def bad_queries(w, a):
    for label, hql in BAD.items():
        a(label, lambda: len(query(w, "alice", "findAllByQuery", hql)))


@case("hql")
def bad_projections(w, a):
    for label in (
        "unknown entity",
        "unknown property",
        "syntax",
        "unbound parameter",
        "fetch without select",
        "unknown function",
    ):
        a(label, lambda: len(query(w, "alice", "projection", BAD[label])))


@case("hql")
def parameters(w, a):
    hql = "select d.name from Dataset d where d.id = :id"
    did = w.id("Dataset", "D one")
    a("unused parameter", lambda: rows(w, "alice", hql, id=did, other=1))
    a("list for a scalar", lambda: rows(w, "alice", hql, id=[did]))
    a("scalar for a list", lambda: rows(w, "alice", "select d.name from Dataset d where d.id in (:ids)", ids=did))
    a("null", lambda: rows(w, "alice", hql, id=None))
    a("empty list", lambda: rows(w, "alice", "select d.name from Dataset d where d.id in (:ids)", ids=[]))
    a(
        "None parameters",
        lambda: len(w.sf("alice").getQueryService().projection("select d.name from Dataset d", None)) > 3,
    )
    a(
        "rlist of strings",
        lambda: rows(
            w, "alice", "select d.name from Dataset d where d.name in (:n) order by d.name", n=["D one", "d two"]
        ),
    )
    a(
        "mixed list",
        lambda: rows(w, "alice", "select d.name from Dataset d where d.id in (:n)", n=rlist([rlong(1), rstring("x")])),
    )
    a("boolean", lambda: rows(w, "alice", "select i.name from Image i where i.archived = :b", b=True))
    a(
        "parameter twice",
        lambda: rows(w, "alice", "select d.name from Dataset d where d.id = :id or d.id = :id", id=did),
    )
    a("int for long", lambda: rows(w, "alice", hql, id=omero.rtypes.rint(did)))
    a("leading colon in text", lambda: rows(w, "alice", "select d.name from Dataset d where d.name = ':id'"))


@case("hql")
def filters(w, a):
    def names(**flt):
        p = omero.sys.ParametersI()
        p.theFilter = omero.sys.Filter()
        for k, v in flt.items():
            setattr(p.theFilter, k, v)
        res = w.sf("alice").getQueryService().findAllByQuery("select d from Dataset d order by d.id", p)
        return [d.name.val for d in res]

    a("owner filter is ignored by findAllByQuery", lambda: names(ownerId=rlong(w.id("Experimenter", "bob"))))
    a("limit", lambda: names(limit=omero.rtypes.rint(2)))
    a("offset only", lambda: names(offset=omero.rtypes.rint(2)))
    a("negative limit", lambda: names(limit=omero.rtypes.rint(-1)))
    a("negative offset", lambda: names(offset=omero.rtypes.rint(-1), limit=omero.rtypes.rint(2)))


@case("hql")
def single_column_of_nulls(w, a):
    """A row whose only column is null comes as an empty row."""
    a(
        "column",
        lambda: rows(w, "alice", "select p.description from Project p where p.details.owner.id=:o order by p.id", o=AL),
    )
    a("aggregate", lambda: rows(w, "alice", "select sum(p.sizeX) from Pixels p where p.id = -1"))
    a("relation", lambda: rows(w, "alice", "select i.fileset from Image i where i.id=:i", i=IMG))
    a(
        "map",
        lambda: rows(
            w, "alice", "select new map(p.description as d) from Project p where p.id=:p", p=R("Project", "p two")
        ),
    )
    a(
        "two columns",
        lambda: rows(
            w, "alice", "select p.description, p.description from Project p where p.id=:p", p=R("Project", "p two")
        ),
    )
