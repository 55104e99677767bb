"""Tables of measurements in OMERO, and as text."""

import csv
import io
import math

import omero
import pytest

from embedded_omero.services.shared_resources import SharedResources
from openhcs_core.omero import tables
from openhcs_core.omero.session import in_group
from openhcs_core.omero.tables import csv_bytes, save_table


@pytest.fixture
def context(conn, omero_user):
    return in_group(conn, omero_user.group_id)


def read_table(conn, file):
    """Kind and values of each column, by name."""
    table = conn.c.sf.sharedResources().openTable(file, conn.SERVICE_OPTS)
    try:
        rows = table.getNumberOfRows()
        columns = table.read(list(range(len(table.getHeaders()))), 0, rows).columns if rows else table.getHeaders()
        return {column.name: (type(column).__name__.removesuffix("Column"), list(column.values)) for column in columns}
    finally:
        table.close()


TABLE = {
    "Plate": ["P", "P", "P"],
    "Well": ["A01", "A01", "B02"],
    "Area": [3, 2**40, -1],
    "Mean": [0.5, None, math.inf],
    "Gap": [1, None, 3],
    "Round": [True, False, True],
    "Note": ["µm", None, "x"],
    "Empty": [None, None, None],
}
IDS = {"Plate": [7, 7, 7], "Well": [8, 8, 9], "Image": [1, 2, 3]}


def test_a_table_comes_back(conn, context):
    found = read_table(conn, save_table(conn, "measure.h5", TABLE, IDS, context))
    assert {name: kind for name, (kind, _) in found.items()} == {
        "Plate": "Plate", "Well": "Well", "Image": "Image", "Plate Name": "String", "Well Name": "String",
        "Area": "Long", "Mean": "Double", "Gap": "Double", "Round": "Bool", "Note": "String", "Empty": "Double",
    }  # fmt: skip
    assert {name: values for name, (_, values) in found.items() if name in IDS} == IDS
    assert found["Well Name"][1] == TABLE["Well"]
    assert found["Area"][1] == TABLE["Area"]
    assert found["Mean"][1][::2] == [0.5, math.inf]
    assert math.isnan(found["Mean"][1][1])
    assert math.isnan(found["Gap"][1][1])
    assert found["Round"][1] == TABLE["Round"]
    assert found["Note"][1] == ["µm", "", "x"]
    assert all(map(math.isnan, found["Empty"][1]))


def test_rows_go_in_parts(conn, context, monkeypatch):
    monkeypatch.setattr(tables, "CHUNK_ROWS", 4)
    found = read_table(conn, save_table(conn, "n.h5", {"n": list(range(10))}, {}, context))
    assert found == {"n": ("Long", list(range(10)))}


def test_a_table_without_rows(conn, context):
    found = read_table(conn, save_table(conn, "none.h5", {"Well": [], "Area": []}, {"Well": []}, context))
    assert {name: values for name, (_, values) in found.items()} == {"Well": [], "Well Name": [], "Area": []}


def test_a_server_without_tables(conn, context, monkeypatch):
    monkeypatch.setattr(SharedResources, "areTablesEnabled", lambda self, call: False)
    assert save_table(conn, "measure.h5", TABLE, IDS, context) is None


def test_tables_that_fail_on_the_way_leave_nothing(conn, context, monkeypatch, caplog):
    def fail(*_):
        raise omero.InternalException(message="no space left")

    monkeypatch.setattr(tables, "_chunks", fail)
    assert save_table(conn, "measure.h5", TABLE, IDS, context) is None
    assert "No OMERO.table: no space left" in caplog.text
    query = "select f.id from OriginalFile f where f.name = 'measure.h5' and f.details.owner.id = %d"
    assert conn.getQueryService().projection(query % conn.getUserId(), None, conn.SERVICE_OPTS) == []


def test_csv():
    rows = list(csv.reader(io.StringIO(csv_bytes({"a": [1, None], "b, c": ['x "y"', "µ"]}).decode())))
    assert rows == [["a", "b, c"], ["1", 'x "y"'], ["", "µ"]]
