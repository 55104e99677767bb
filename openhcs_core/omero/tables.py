"""Tables of measurements: as OMERO.tables where the server has them, and as text."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import Ice
import omero
import omero.grid
from omero.gateway import BlitzGateway
from omero.model import OriginalFileI

from openhcs_core.omero.session import session_is_over

logger = logging.getLogger(__name__)

Table = Mapping[str, Sequence[Any]]
"""Columns of equal length by name."""

CHUNK_ROWS = 10_000


def csv_bytes(table: Table) -> bytes:
    """A table as CSV, UTF-8; empty where there is no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue().encode()


def save_table(
    conn: BlitzGateway, name: str, table: Table, ids: Mapping[str, Sequence[int]], context: Mapping[str, str]
) -> OriginalFileI | None:
    """Make an OMERO.table.

    Parameters
    ----------
    conn : BlitzGateway
    name : str
    table : mapping of str to sequence
    ids : mapping of {"Plate", "Well", "Image"} to sequence of int
        Ids of each row; columns of `table` with these names become "Plate Name", "Well Name" ...
    context : mapping

    Returns
    -------
    OriginalFileI or None
        Not loaded; None if the server has no tables.
    """
    columns = [_ID_COLUMNS[kind](kind, "", list(map(int, values))) for kind, values in ids.items()]
    columns += [_column(f"{title} Name" if title in ids else title, values) for title, values in table.items()]
    handle = None
    try:
        resources = conn.c.sf.sharedResources()
        if not resources.areTablesEnabled(context):
            logger.info("The server has no tables")
            return None
        repository = resources.repositories().descriptions[0].id.val
        handle = resources.newTable(repository, name, context)
        if handle is None:
            logger.info("The server gives no table")
            return None
        handle.initialize([type(column)(column.name, column.description, *_size(column), []) for column in columns])
        for part in _chunks(columns):
            handle.addData(part)
        return OriginalFileI(handle.getOriginalFile().id.val, False)
    except (omero.ServerError, Ice.Exception) as error:
        if session_is_over(error):
            raise
        logger.warning("No OMERO.table: %s", getattr(error, "message", None) or type(error).__name__)
        if handle is not None:
            _drop(handle)
            handle = None
        return None
    finally:
        if handle is not None:
            handle.close()


_ID_COLUMNS = {"Plate": omero.grid.PlateColumn, "Well": omero.grid.WellColumn, "Image": omero.grid.ImageColumn}


def _column(name: str, values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known) and len(known) == len(values):
        return omero.grid.BoolColumn(name, "", list(values))
    if known and all(isinstance(value, int) and abs(value) < 1 << 63 for value in known) and len(known) == len(values):
        return omero.grid.LongColumn(name, "", list(values))
    if all(isinstance(value, (int, float)) for value in known):
        return omero.grid.DoubleColumn(name, "", [math.nan if value is None else float(value) for value in values])
    texts = ["" if value is None else str(value) for value in values]
    return omero.grid.StringColumn(name, "", max(1, *(len(text.encode()) for text in texts)), texts)


def _size(column: Any) -> list[int]:
    return [column.size] if isinstance(column, omero.grid.StringColumn) else []


def _chunks(columns: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(columns[0].values), CHUNK_ROWS):
        yield [
            type(column)(column.name, column.description, *_size(column), column.values[start : start + CHUNK_ROWS])
            for column in columns
        ]


def _drop(handle: Any) -> None:
    try:
        handle.delete()
    except (omero.ServerError, Ice.Exception) as error:
        logger.warning("A table was left unfinished: %s", type(error).__name__)
