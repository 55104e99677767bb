"""OMERO.tables: columns of every kind, reading, changing, conditions, rights, and who else uses them."""

import contextlib
import os
import pickle
import subprocess
import sys
import textwrap

import h5py
import Ice
import numpy as np
import omero
import omero.grid as grid
import pytest
import tables
from omero.gateway import FileAnnotationWrapper, OriginalFileWrapper
from omero.rtypes import rfloat, rint, rlong, rstring, unwrap

SIMPLE = (
    grid.LongColumn, grid.FileColumn, grid.ImageColumn, grid.DatasetColumn, grid.RoiColumn, grid.WellColumn,
    grid.PlateColumn,
)  # fmt: skip


@pytest.fixture
def resources(omero_conn):
    return omero_conn.c.sf.sharedResources()


@pytest.fixture
def table(resources):
    """A table of three rows, empty metadata and the columns id, v, s, b."""
    made = resources.newTable(1, "measurements.h5")
    made.initialize(columns(size=8))
    made.addData(columns([1, 2, 3], [0.5, 1.5, 2.5], ["a", "bb", "ccc"], [True, False, True]))
    yield made
    with contextlib.suppress(Ice.ObjectNotExistException):  # the test has closed it
        made.close()


def record(server, file):
    return server.core.store.get("OriginalFile", file.id.val)


def columns(ids=(), values=(), texts=(), flags=(), size=8):
    return [
        grid.LongColumn("id", "number", list(ids)),
        grid.DoubleColumn("v", "", list(values)),
        grid.StringColumn("s", "", size, list(texts)),
        grid.BoolColumn("b", "", list(flags)),
    ]


def contents(table):
    names = [c.name for c in table.getHeaders()]
    return {c.name: c.values for c in table.read(range(len(names)), 0, 0).columns}


def test_columns_of_numbers_and_ids(resources):
    table = resources.newTable(1, "ids")
    table.initialize([c(c.__name__, f"about {c.__name__}", []) for c in SIMPLE])
    table.addData([c(c.__name__, "", [n, 2**40 + n]) for n, c in enumerate(SIMPLE)])
    headers = table.getHeaders()
    assert [type(h) for h in headers] == list(SIMPLE)
    assert [h.description for h in headers] == [f"about {c.__name__}" for c in SIMPLE]
    assert contents(table) == {c.__name__: [n, 2**40 + n] for n, c in enumerate(SIMPLE)}
    table.close()


def test_columns_of_arrays(resources):
    table = resources.newTable(1, "arrays")
    kinds = {
        grid.LongArrayColumn: [[1, 2], [3, 4]],
        grid.DoubleArrayColumn: [[0.1, 0.2], [1e300, -1.0]],
        grid.FloatArrayColumn: [[0.5, 0.25], [1.0, 2.0]],
    }
    table.initialize([c(c.__name__, "", 2, []) for c in kinds])
    table.addData([c(c.__name__, "", 2, values) for c, values in kinds.items()])
    assert contents(table) == {c.__name__: values for c, values in kinds.items()}
    assert [h.size for h in table.getHeaders()] == [2, 2, 2]
    with pytest.raises(omero.ValidationException, match="LongArrayColumn requires arrays of length 2"):
        table.addData([c(c.__name__, "", 2, [[1, 2, 3]]) for c in kinds])
    table.close()


def test_masks(resources):
    table = resources.newTable(1, "masks")
    table.initialize([grid.MaskColumn("m", "", [], [], [], [], [], [], [], [])])
    table.addData(
        [grid.MaskColumn("m", "", [5, 6], [0, 1], [2, 3], [1.0, 2.0], [3.0, 4.0], [8.0, 8.0], [1.0, 2.0],
                         [b"\x01", b"\xff\x00"])]
    )  # fmt: skip
    (mask,) = table.readCoordinates([1, 0]).columns
    assert (mask.imageId, mask.theZ, mask.theT) == ([6, 5], [1, 0], [3, 2])
    assert (list(mask.x), list(mask.h)) == ([2.0, 1.0], [2.0, 1.0])
    assert [bytes(b) for b in mask.bytes] == [b"\xff\x00", b"\x01"]
    table.close()


def test_names_need_not_be_identifiers(resources):
    table = resources.newTable(1, "names")
    table.initialize([grid.LongColumn("Cell count", "", [])])
    table.addData([grid.LongColumn("Cell count", "", [7])])
    table.setMetadata("by whom", rstring("Ada"))
    file = table.getOriginalFile()
    table.close()
    again = resources.openTable(file)
    assert contents(again) == {"Cell count": [7]}
    assert again.getMetadata("by whom").val == "Ada"
    again.close()


def test_text_is_counted_in_bytes_and_comes_back_as_text(resources):
    table = resources.newTable(1, "texts")
    table.initialize([grid.StringColumn("s", "", 4, [])])
    table.addData([grid.StringColumn("s", "", 4, ["µm", "ab", ""])])
    assert contents(table) == {"s": ["µm", "ab", ""]}
    with pytest.raises(omero.ValidationException, match=r"Maximum string \(byte\) length in column s is 4"):
        table.addData([grid.StringColumn("s", "", 4, ["µµµ"])])
    assert table.getNumberOfRows() == 3
    table.close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([], "No columns provided"),
        ([grid.LongColumn("", "", [])], "Column unnamed"),
        ([grid.LongColumn("__x", "", [])], "Reserved column name: __x"),
        ([grid.LongColumn("x", "", []), grid.BoolColumn("x", "", [])], "Duplicate column name: x"),
        ([grid.StringColumn("s", "", 0, [])], "String size must be > 0"),
        ([grid.LongArrayColumn("a", "", 0, [])], "Array length must be > 0"),
    ],
)
def test_columns_which_cannot_be(resources, wrong, message):
    table = resources.newTable(1, "wrong")
    with pytest.raises(omero.ApiUsageException, match=message):
        table.initialize(wrong)
    with pytest.raises(omero.ApiUsageException, match="Not yet initialized"):
        table.getNumberOfRows()
    table.close()


def test_initialize_works_once(table):
    with pytest.raises(omero.ValidationException, match="Already initialized"):
        table.initialize(columns())
    with pytest.raises(omero.ApiUsageException, match="NYI"):
        table.addColumn(grid.LongColumn("late", "", []))


@pytest.mark.parametrize(
    ("condition", "variables", "limits", "rows"),
    [
        ("(v > 1) & (id < 3)", {}, (0, 10, 1), [1]),
        ("id == x", {"x": rlong(3)}, (0, 10, 1), [2]),
        ("v < x", {"x": rfloat(2)}, (0, 3, 0), [0, 1]),
        ("x == y", {"x": rstring("s"), "y": rstring("s")}, (0, 3, 0), [0, 1, 2]),  # text names a column
        ("s == 'bb'", {}, (0, 10, 1), [1]),
        ("b", {}, (0, 3, 0), [0, 2]),
        ("~b | (sqrt(v * 2) > 2)", {}, (0, 3, 0), [1, 2]),
        ("where(b, id, -id) > 0", {}, (0, 3, 0), [0, 2]),
        ("id > 0", {}, (1, 3, 1), [1, 2]),
        ("id > 0", {}, (0, 3, 2), [0, 2]),
        ("id > 0", {}, (0, 0, 0), [0]),  # PyTables takes a start without a stop for one row
    ],
)
def test_conditions(table, condition, variables, limits, rows):
    assert table.getWhereList(condition, variables, *limits) == rows


@pytest.mark.parametrize(
    "condition",
    [
        "__import__('os').system('true')", "id.__class__", "v.real > 0", "id[0] == 1", "(lambda: 1)() == 1",
        "[x for x in (1,)] == 1", "where(b, id, __builtins__) > 0", "s == f'{id}'", "(x := 3) == id", "sqrt(*b) > 1",
        "sqrt(x=v) > 1", "(1)(2) > id", "exec('1') > id", "open('/etc/passwd') == s", "self == id", "id ==", "",
        "id > 1; id > 2", "9**9**9 > id", "(9**64)**64 > id", "1 << 10**9 > id",
        "(" * 500 + "id" + ")" * 500,
    ],
)  # fmt: skip
def test_conditions_are_arithmetic_and_nothing_else(table, condition):
    with pytest.raises(omero.ApiUsageException, match="Bad condition"):
        table.getWhereList(condition, {}, 0, 0, 0)


def test_condition_on_the_wrong_kind_of_column(table):
    with pytest.raises(omero.InternalException, match="Internal exception"):
        table.getWhereList("id > 'x'", {}, 0, 3, 0)


def test_reading_parts(table):
    data = table.read([2, 0], 1, 3)
    assert {c.name: c.values for c in data.columns} == {"s": ["bb", "ccc"], "id": [2, 3]}
    assert list(data.rowNumbers) == [1, 2]
    assert [c.values for c in table.slice([], [2]).columns] == [[3], [2.5], ["ccc"], [True]]
    assert [c.values for c in table.slice([3], []).columns] == [[True, False, True]]
    assert list(table.readCoordinates([2, 0]).rowNumbers) == [2, 0]
    with pytest.raises(omero.ApiUsageException, match="Column overflow: 4 >= 4"):
        table.read([4], 0, 1)
    with pytest.raises(omero.ApiUsageException, match="Row overflow: 3 >= 3"):
        table.slice([0], [3])
    with pytest.raises(omero.ApiUsageException, match="Rows not specified"):
        table.readCoordinates([])


def test_update_changes_what_it_names(table):
    data = table.readCoordinates([0, 2])
    data.columns = data.columns[:2]
    data.columns[0].values, data.columns[1].values = [10, 30], [-1.0, -3.0]
    table.update(data)
    assert contents(table) == {"id": [10, 2, 30], "v": [-1.0, 1.5, -3.0], "s": ["a", "bb", "ccc"],
                               "b": [True, False, True]}  # fmt: skip


def test_metadata(table):
    table.setMetadata("text", rstring("v"))
    table.setAllMetadata({"n": rint(3), "x": rfloat(0.5)})
    found = unwrap(table.getAllMetadata())
    assert {k: v for k, v in found.items() if not k.startswith("__")} == {"n": 3, "x": 0.5}
    assert found["__version"] == "2"
    assert table.getMetadata("text") is None
    with pytest.raises(omero.ApiUsageException, match="Reserved attribute name: __version"):
        table.setMetadata("__version", rstring("3"))


def test_file_of_a_table(omero_conn, omero_user, table):
    file = table.getOriginalFile()
    assert (file.name.val, file.path.val, file.mimetype.val) == ("measurements.h5",) * 2 + ("OMERO.tables",)
    assert file.details.group.id.val == omero_user.group_id
    table.close()
    wrapper = omero_conn.getObject("OriginalFile", file.id.val)
    content = b"".join(wrapper.getFileInChunks())
    assert content.startswith(b"\x89HDF")
    assert wrapper.getSize() == len(content)
    with pytest.raises(Ice.ObjectNotExistException):
        table.getNumberOfRows()


def test_two_clients_share_a_table(resources, table):
    other = resources.openTable(table.getOriginalFile())
    table.addData(columns([4], [3.5], ["d"], [False]))
    assert other.getNumberOfRows() == 4
    table.close()
    assert other.read([0], 3, 4).columns[0].values == [4]
    other.close()


def test_delete_takes_the_file_along(omero_server, omero_conn, table):
    id = table.getOriginalFile().id.val
    path = omero_server.core.repositories.path_of(record(omero_server, table.getOriginalFile()))
    assert path.is_file()
    table.delete()
    assert omero_conn.getObject("OriginalFile", id) is None
    assert not path.exists()


def test_rights_are_those_of_the_file(connect, make_user, resources, table, omero_user):
    file = table.getOriginalFile()
    reader = connect(make_user(omero_user.group)).c.sf.sharedResources().openTable(file)
    assert contents(reader)["id"] == [1, 2, 3]
    for change in (
        lambda: reader.addData(columns([4], [3.5], ["d"], [False])),
        lambda: reader.update(reader.readCoordinates([0])),
        lambda: reader.setMetadata("k", rstring("v")),
        lambda: reader.delete(),
    ):
        with pytest.raises(omero.SecurityViolation, match=f"Current user cannot write to file {file.id.val}"):
            change()
    reader.close()
    with pytest.raises(omero.SecurityViolation, match="Cannot read ome.model.core.OriginalFile"):
        connect(make_user()).c.sf.sharedResources().openTable(file)


def test_table_in_another_group(omero_server, connect, make_user):
    user, core = make_user(), omero_server.core
    with core.store.lock:
        second = core.accounts.add_group(f"second of {user.name}", "rw----")
        core.accounts.add_member(core.accounts.user(user.name), second)
    resources = connect(user).c.sf.sharedResources()
    table = resources.newTable(1, "there", {"omero.group": str(second.id)})
    table.initialize([grid.LongColumn("x", "", [])])
    assert table.getOriginalFile().details.group.id.val == second.id
    table.close()
    with pytest.raises(omero.InternalException, match="Failed to save file"):
        resources.newTable(1, "nowhere", {"omero.group": "-1"})


def test_open_table_does_not_hold_the_group_of_the_session(omero_conn, omero_user, table):
    omero_conn.c.sf.setSecurityContext(omero.model.ExperimenterGroupI(omero_user.group_id, False))
    assert table.getNumberOfRows() == 3


def test_session_which_goes_frees_its_tables(omero_server, connect, make_user):
    user = make_user()
    conn = connect(user)
    left = conn.c.sf.sharedResources().newTable(1, "left open")
    left.initialize([grid.LongColumn("x", "", [])])
    file = left.getOriginalFile()
    conn.close()
    with h5py.File(omero_server.core.repositories.path_of(record(omero_server, file)), "a"):
        pass  # it is not locked any more
    again = connect(user).c.sf.sharedResources().openTable(file)
    assert again.getNumberOfRows() == 0
    again.close()


@pytest.fixture
def uploaded(omero_conn, tmp_path):
    """Function which uploads a file as a table."""

    def upload(path):
        return omero_conn.c.upload(str(path), type="OMERO.tables")

    return upload


def test_table_which_was_uploaded(omero_conn, resources, uploaded, table, tmp_path):
    table.close()
    path = tmp_path / "copy.h5"
    omero_conn.c.download(table_file(omero_conn), str(path))
    again = resources.openTable(uploaded(path))
    assert contents(again)["s"] == ["a", "bb", "ccc"]
    again.close()


def table_file(conn):
    (file,) = conn.getObjects("OriginalFile", attributes={"name": "measurements.h5"})
    return file._obj


def test_what_is_no_table_is_not_opened(resources, uploaded, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no table")
    with pytest.raises(omero.InternalException, match="null table as argument"):
        resources.openTable(uploaded(path))
    with pytest.raises(omero.ValidationException, match="file must be a managed instance"):
        resources.openTable(None)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize("node", ["/", "/OME", "/OME/Measurements"])
@pytest.mark.parametrize("name", ["TITLE", "FILTERS", "note"])
def test_pickles_in_files_are_not_loaded(omero_conn, resources, uploaded, tmp_path, monkeypatch, table, node, name):
    monkeypatch.chdir(tmp_path)
    table.close()
    path, bomb = tmp_path / "evil.h5", pickle.dumps(Evil(), 0)
    omero_conn.c.download(table_file(omero_conn), str(path))
    with h5py.File(path, "r+") as file:
        file[node].attrs[name] = np.bytes_(bomb)
    with contextlib.suppress(omero.InternalException):
        again = resources.openTable(uploaded(path))
        again.getAllMetadata()
        again.close()
    assert not (tmp_path / "pwned").exists()
    with contextlib.suppress(Exception), tables.open_file(path) as file:  # whereas PyTables alone does
        file.get_node(node)._v_attrs[name]
    assert (tmp_path / "pwned").exists()


def test_text_like_a_pickle_stays_text(table):
    table.setMetadata("k", rstring(pickle.dumps(Evil(), 0).decode()))
    assert table.getMetadata("k").val.startswith("c")


def test_gateway_links_a_table_to_an_image(omero_conn, table):
    dataset = omero.gateway.DatasetWrapper(omero_conn, omero.model.DatasetI())
    dataset.setName("with a table")
    dataset.save()
    annotation = FileAnnotationWrapper(omero_conn)
    annotation.setFile(OriginalFileWrapper(omero_conn, table.getOriginalFile()))
    annotation.setNs(omero.constants.namespaces.NSBULKANNOTATIONS)
    dataset.linkAnnotation(annotation)
    table.close()
    (found,) = omero_conn.getObject("Dataset", dataset.id).listAnnotations()
    again = omero_conn.c.sf.sharedResources().openTable(omero.model.OriginalFileI(found.getFile().id, False))
    assert again.getWhereList("id > 1", {}, 0, 3, 0) == [1, 2]
    again.close()


def test_server_without_tables_does_not_load_hdf5(tmp_path):
    code = """
        import sys
        from embedded_omero import EmbeddedOmero
        from omero.gateway import BlitzGateway
        with EmbeddedOmero(processor=False) as server:
            conn = BlitzGateway(server.user, server.password, host=server.host, port=server.port)
            assert conn.connect()
            assert conn.c.sf.sharedResources().areTablesEnabled()
            conn.close()
        loaded = {"tables", "h5py", "numexpr"} & set(sys.modules)
        assert not loaded, loaded
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
