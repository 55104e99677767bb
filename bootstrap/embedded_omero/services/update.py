"""IUpdate: saving and deleting objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import errors
from ..saving import Save

if TYPE_CHECKING:
    from ..context import Call


class Update:
    """omero.api.IUpdate."""

    def saveObject(self, call: Call, obj) -> None:
        Save(call).save(obj)

    def saveAndReturnObject(self, call: Call, obj):
        save = Save(call)
        return call.wire(save.save(obj), save.loaded)

    def saveCollection(self, call: Call, objects) -> None:
        self._all(call, objects)

    def saveArray(self, call: Call, objects) -> None:
        self._all(call, objects)

    def saveAndReturnArray(self, call: Call, objects) -> list:
        save, records = self._all(call, objects)
        graph = call.graph(save.loaded)
        return [graph.wire(r) for r in records]

    def saveAndReturnIds(self, call: Call, objects) -> list[int]:
        return [r.id for r in self._all(call, objects)[1]]

    def _all(self, call: Call, objects):
        save = Save(call)
        return save, [save.save(obj) for obj in objects]

    def deleteObject(self, call: Call, obj) -> None:
        record = call.read(call.store.model.of(obj).name, obj.id.val)
        if not call.flags(record).delete:
            raise errors.security(f"Deleting {record.entity.java}:Id_{record.id} not allowed.")
        for f in record.entity.collections():
            if call.store.collection(record, f):
                raise errors.validation(f"could not delete: [{record.entity.java}#{record.id}]: {f.name} is not empty")
        call.store.remove(record)
