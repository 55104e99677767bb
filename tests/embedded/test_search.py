"""Search: words in names, descriptions, annotations and files; types, owners, times, batches, rights."""

import time

import omero
import pytest
from omero.rtypes import rstring, rtime

from tests.embedded import images


@pytest.fixture
def made(omero_conn):
    """Ids of datasets by name, some of them with notes."""
    update = omero_conn.getUpdateService()
    ids = {}
    for name, description in {
        "GFP-CFP.dv of Monday": None, "control": "no cells, GFP only", "Größe_µm": "units", "alpha": None, "beta": None,
    }.items():  # fmt: skip
        dataset = omero.model.DatasetI()
        dataset.name = rstring(name)
        dataset.description = rstring(description) if description else None
        ids[name] = update.saveAndReturnObject(dataset).id.val
    tag, pairs = omero.model.TagAnnotationI(), omero.model.MapAnnotationI()
    tag.textValue = rstring("needs review")
    pairs.mapValue = [omero.model.NamedValue("Gene", "KIF11")]
    for name, note in (("alpha", tag), ("beta", pairs)):
        link = omero.model.DatasetAnnotationLinkI()
        link.parent, link.child = omero.model.DatasetI(ids[name], False), note
        update.saveObject(link)
    return ids


@pytest.fixture
def found(omero_conn):
    """Function which searches datasets; answers their names."""

    def search(text, **options):
        options.setdefault("rawQuery", False)
        return {o.getName() for o in omero_conn.searchObjects(["Dataset"], text, **options)}

    return search


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("gfp", {"GFP-CFP.dv of Monday", "control"}),
        ("cfp", {"GFP-CFP.dv of Monday"}),
        ("GFP AND monday", {"GFP-CFP.dv of Monday"}),
        ("alpha monday", {"alpha", "GFP-CFP.dv of Monday"}),
        ("alpha OR gfp AND only", {"alpha", "control"}),
        ('"cfp dv"', {"GFP-CFP.dv of Monday"}),
        ('"dv cfp"', set()),
        ("gfp-cfp.dv", {"GFP-CFP.dv of Monday"}),
        ("mon*", {"GFP-CFP.dv of Monday"}),
        ("*eta", {"beta"}),
        ("b?ta", {"beta"}),
        ("mon", set()),
        ("GRÖSSE größe", {"Größe_µm"}),
        ("µm", {"Größe_µm"}),
        ("review", {"alpha"}),
        ("kif11", {"beta"}),
        ("gene", {"beta"}),
        ("name:gfp", {"GFP-CFP.dv of Monday"}),
        ("description:gfp", {"control"}),
        ("...", set()),
    ],
)  # fmt: skip
def test_words(made, found, text, names):
    assert found(text) == names


def test_fields(made, found):
    assert found("gfp", fields=["description"]) == {"control"}
    assert found("review", fields=["annotation"]) == {"alpha"}
    assert found("review", fields=["name", "description"]) == set()


def test_raw_query(made, found):
    assert found("description:gfp", rawQuery=True) == {"control"}


def test_names_of_owner_and_group(omero_user, made, found):
    assert found(omero_user.name) == set(made)
    assert found(omero_user.group, fields=["details.group.name"]) == set(made)


def test_file_of_an_image(importer, omero_conn, tmp_path):
    (result,) = importer(images.three(tmp_path)[0], name="other")
    assert {o.id for o in omero_conn.searchObjects(["Image"], "tiff")} == set(result.image_ids)


def test_only_what_may_be_seen(connect, make_user, omero_server):
    private = [make_user("search private", "rw----") for _ in range(2)]
    shared = [make_user("search shared") for _ in range(2)]
    for owner, other, count in ((*private, 0), (*shared, 1)):
        dataset = omero.model.DatasetI()
        dataset.name = rstring("findme")
        connect(owner).getUpdateService().saveObject(dataset)
        assert len(list(connect(owner).searchObjects(["Dataset"], "findme"))) == 1
        assert len(list(connect(other).searchObjects(["Dataset"], "findme"))) == count


def test_owners(connect, make_user):
    users = [make_user("search owners") for _ in range(2)]
    for user in users:
        dataset = omero.model.DatasetI()
        dataset.name = rstring("common")
        connect(user).getUpdateService().saveObject(dataset)
    found = connect(users[0]).searchObjects(["Dataset"], "common", ownedBy=users[1].id)
    assert [o.getOwner().getName() for o in found] == [users[1].name]


def test_times(made, found):
    day = 24 * 3600_000
    now = int(time.time() * 1000)
    for raw in (True, False):
        assert found("gfp", created=[rtime(now - day), rtime(now + day)], rawQuery=raw)
        assert not found("gfp", created=[rtime(now - 3 * day), rtime(now - 2 * day)], rawQuery=raw)
    assert not found("gfp", created=[rtime(now - day), rtime(now + day)], useAcquisitionDate=True)


def test_batches(omero_conn, made):
    search = omero_conn.createSearchService()
    search.onlyType("Dataset")
    search.setBatchSize(3)
    search.byFullText("gfp alpha beta units")
    sizes = []
    while search.hasNext():
        sizes.append(len(search.results()))
    assert sizes == [3, 2]
    with pytest.raises(omero.ApiUsageException):
        search.results()
    search.onlyIds([made["alpha"]])
    search.byFullText("alpha beta")
    assert [o.id.val for o in search.results()] == [made["alpha"]]
    search.byFullText("alpha")
    search.clearQueries()
    assert not search.hasNext()
    search.close()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", omero.ApiUsageException, "empty"),
        ("*x", omero.ApiUsageException, "not allowed as first character"),
        ("a NOT b", omero.InternalException, "not implemented"),
        ("(a b)", omero.InternalException, "not implemented"),
        ("a~", omero.InternalException, "not implemented"),
    ],
)
def test_what_is_refused(omero_conn, text, error, message):
    search = omero_conn.createSearchService()
    with pytest.raises(omero.ApiUsageException, match="type"):
        search.byFullText("x")
    search.onlyType("Image")
    with pytest.raises(error, match=message):
        search.byFullText(text)
    search.close()


def test_unknown_type(omero_conn):
    search = omero_conn.createSearchService()
    with pytest.raises(omero.ApiUsageException, match="Nope"):
        search.onlyType("Nope")
    search.close()
