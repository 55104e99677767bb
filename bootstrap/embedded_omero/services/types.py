"""ITypes: the values of enumerations."""

from __future__ import annotations

import omero.model

from .. import errors
from ..context import Call
from ..metamodel import Entity
from ..saving import Save
from .selecting import entity_named


def is_enumeration(entity: Entity) -> bool:
    return entity.is_global and "value" in entity.fields


class Types:
    """omero.api.ITypes."""

    def allEnumerations(self, call: Call, type: str) -> list[omero.model.IObject]:
        return [call.wire(r) for r in call.store.all(self._entity(call, type))]

    def getEnumeration(self, call: Call, type: str, value: str) -> omero.model.IObject:
        return call.wire(call.enum(self._entity(call, type).name, value))

    def getEnumerationTypes(self, call: Call) -> list[str]:
        return [e.name for e in self._all(call)]

    def getEnumerationsWithEntries(self, call: Call) -> dict[str, list[omero.model.IObject]]:
        return {e.name: self.allEnumerations(call, e.name) for e in self._all(call)}

    def getAnnotationTypes(self, call: Call) -> list[str]:
        return [e.name for e in call.store.model["Annotation"].family() if not e.abstract]

    def createEnumeration(self, call: Call, newEnum: omero.model.IObject) -> omero.model.IObject:
        self._entity(call, call.store.model.of(newEnum).name)
        save = Save(call)
        return call.wire(save.save(newEnum), save.loaded)

    @staticmethod
    def _entity(call: Call, name: str) -> Entity:
        entity = entity_named(call, name)
        if not is_enumeration(entity):
            raise errors.api_usage(f"{name} is not an enumeration.")
        return entity

    @staticmethod
    def _all(call: Call) -> list[Entity]:
        return [e for e in call.store.model.entities.values() if is_enumeration(e)]
