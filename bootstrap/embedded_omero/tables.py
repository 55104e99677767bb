"""OMERO.tables: tables of measurements in HDF5 files.

What a table is on disk and what may be asked of it is omero-py's own: a server keeps its tables with the same
`omero.hdfstorageV2`. PyTables is imported when the first table is made or opened.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import logging
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import Ice
import omero
import omero.cmd
import omero.grid
from omero.rtypes import unwrap
from omero.util.decorators import remoted

from . import errors
from .commands.base import Refused
from .commands.run import run
from .services.base import Closeable
from .services.raw_file import RawFileStore
from .store import Record, now_ms

if TYPE_CHECKING:
    from .context import Call

log = logging.getLogger(__name__)
MIMETYPE = "OMERO.tables"
# What a condition may consist of, besides names and calls of functions by their plain name.
_ALLOWED = (
    ast.Expression, ast.Load, ast.Constant, ast.Compare, ast.cmpop, ast.BinOp, ast.operator, ast.UnaryOp, ast.unaryop,
    ast.BoolOp, ast.boolop,
)  # fmt: skip

_GROWING = (ast.Pow, ast.LShift)


def new_table(call: Call, name: str) -> Ice.ObjectPrx:
    """Make a file for a table, named by its path, and open it."""
    now = now_ms()
    values = {"name": name, "path": name, "mimetype": MIMETYPE, "atime": now, "mtime": now, "ctime": now}
    try:
        with call.store.lock:
            file = call.add("OriginalFile", values)
    except omero.ServerError as exc:
        log.info("cannot make a table: %s", exc.message)
        raise errors.internal("Failed to save file") from exc
    return open_table(call, file)


def open_table(call: Call, file: Record) -> Ice.ObjectPrx:
    """Publish a table of a file, which the caller may read.

    Raises
    ------
    omero.InternalException
        If the file holds no table, in the words of the server.
    """
    _register_columns(call.core.adapter.getCommunicator())
    try:
        table = Table(call, file)
    except omero.ServerError as exc:
        log.info("cannot open %r as a table: %s", file, exc.message)
        raise errors.internal("null table as argument") from exc
    key = f"Table-{uuid.uuid4()}"
    return call.core.add_service(call.client, key, omero.grid.Table, table, Ice.Identity(key))


def _register_columns(communicator: Ice.Communicator) -> None:
    """From now on columns in requests know how to convert themselves."""
    from omero.columns import ObjectFactories

    for factory in ObjectFactories.values():
        if communicator.findObjectFactory(factory.id) is None:
            factory.register(communicator)


def check_condition(condition: str, variables: dict[str, Any]) -> None:
    """Refuse what is more than arithmetic and comparisons: PyTables evaluates a condition as Python.

    Raises
    ------
    omero.ApiUsageException
        If there is anything but names, constants, operators and calls of plain names, or a name with ``__``.
    """
    try:
        good = all(map(_harmless, ast.walk(ast.parse(condition, mode="eval"))))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        good = False
    if not good:
        raise errors.api_usage(f"Bad condition: {condition}, {variables}")


def _harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return "__" not in node.id
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and not node.keywords
    if isinstance(node, ast.BinOp) and isinstance(node.op, _GROWING):
        # Python computes constants before numexpr sees them: 9**9**9 would take for ever.
        power = node.right.value if isinstance(node.right, ast.Constant) else None
        return isinstance(power, (int, float)) and abs(power) <= 64 and not isinstance(node.left, ast.BinOp)
    return isinstance(node, _ALLOWED)


class _Pickle:
    """Stands for the module ``pickle`` inside PyTables, which would unpickle what somebody has put into a file.

    Only threads which are `serving` a table are refused; whoever else uses PyTables in this process is not.
    """

    def __init__(self, original: types.ModuleType) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def loads(self, *args: Any, **options: Any) -> Any:
        if getattr(_thread, "serving", False):
            raise ValueError("an OMERO.table holds no pickled objects")
        return self._original.loads(*args, **options)


_thread = threading.local()


@contextlib.contextmanager
def serving() -> Iterator[None]:
    """Nothing is unpickled meanwhile in this thread."""
    import tables

    for module in (tables.attributeset, tables.atom):
        if not isinstance(module.pickle, _Pickle):
            module.pickle = _Pickle(module.pickle)
    before = getattr(_thread, "serving", False)
    _thread.serving = True
    try:
        yield
    finally:
        _thread.serving = before


def _served(method: Callable) -> Callable:
    """An operation on the file; what goes wrong in it comes out in the words of the server."""
    method = remoted(method)

    @functools.wraps(method)
    def serve(*args: Any) -> Any:
        with serving():
            return method(*args)

    return serve


class Table(Closeable):
    """omero.grid.Table.

    Parameters
    ----------
    call : Call
        Who opens it.
    file : Record
        The OriginalFile.
    """

    exclusive = False  # the storage has a lock of its own

    def __init__(self, call: Call, file: Record) -> None:
        from omero.hdfstorageV2 import HDFLIST

        self._file, self._may_write = file, call.flags(file).edit
        with serving():
            self._storage: Any = HDFLIST.getOrCreate(str(call.core.repositories.path_of(file)), self)
        self._stamp = time.time()  # what the storage compares to the time of its own

    def _written(self) -> Any:
        """The storage, for a caller who may change it."""
        if not self._may_write:
            raise errors.security(f"Current user cannot write to file {self._file.id}")
        return self._storage

    @staticmethod
    def _current(call: Call) -> types.SimpleNamespace:
        return types.SimpleNamespace(adapter=call.core.adapter, ctx=call.ctx)

    # -- life

    def finish(self, call: Call) -> None:
        """Note size and time of the file if it has changed."""
        modified = self._may_write and self._storage.modified()
        self.discard()
        with call.store.lock:
            if modified and call.store.get("OriginalFile", self._file.id) is self._file:
                store = RawFileStore()
                store.setFileId(call, self._file.id)
                store.save(call)

    def discard(self) -> None:
        storage, self._storage = self._storage, None
        if storage is not None:
            with serving():
                storage.decr(self)

    @_served
    def delete(self, call: Call) -> None:
        self._written()
        self.close(call)
        with call.store.lock:
            try:
                run(call.own(), omero.cmd.Delete2(targetObjects={"OriginalFile": [self._file.id]}))
            except Refused as exc:
                raise errors.internal(str(exc.response)) from exc

    # -- reading

    def getOriginalFile(self, call: Call):
        with call.store.lock:
            return call.wire(self._file)

    @_served
    def getHeaders(self, call: Call) -> list:
        return self._storage.cols(None, self._current(call))

    @_served
    def getNumberOfRows(self, call: Call) -> int:
        return int(self._storage.rows())

    @_served
    def getWhereList(self, call: Call, condition: str, variables: dict, start: int, stop: int, step: int) -> list[int]:
        """Numbers of the rows which fulfil a condition, as PyTables counts them; 0 for stop or step stands for None."""
        values = {name: unwrap(value) for name, value in (variables or {}).items()}
        check_condition(condition, values)
        return self._storage.getWhereList(self._stamp, condition, values, None, start, stop or None, step or None)

    @_served
    def read(self, call: Call, columns: list[int], start: int, stop: int):
        """Rows from ``start`` up to, not including, ``stop``; all of them if both are 0."""
        end = stop if start or stop else None
        return self._storage.read(self._stamp, columns, start, end, self._current(call))

    @_served
    def readCoordinates(self, call: Call, rows: list[int]):
        return self._storage.readCoordinates(self._stamp, rows, self._current(call))

    @_served
    def slice(self, call: Call, columns: list[int], rows: list[int]):
        """Some rows of some columns; an empty list means all."""
        return self._storage.slice(self._stamp, columns, rows, self._current(call))

    # -- writing

    @_served
    def initialize(self, call: Call, columns: list) -> None:
        self._written().initialize(columns)

    @_served
    def addColumn(self, call: Call, column) -> None:
        self._written()
        raise errors.api_usage("NYI")  # on a server neither

    @_served
    def addData(self, call: Call, columns: list) -> None:
        self._written().append(columns)

    @_served
    def update(self, call: Call, data) -> None:
        storage = self._written()
        if data is not None:
            storage.update(self._stamp, data)

    # -- metadata

    @_served
    def getMetadata(self, call: Call, key: str):
        return self._storage.get_meta_map().get(key)

    @_served
    def getAllMetadata(self, call: Call) -> dict:
        return self._storage.get_meta_map()

    @_served
    def setMetadata(self, call: Call, key: str, value) -> None:
        self._written().add_meta_map({key: value})

    @_served
    def setAllMetadata(self, call: Call, values: dict) -> None:
        self._written().add_meta_map(values, replace=True)
