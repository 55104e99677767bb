"""ServiceFactory: the session as clients hold it, the door to all services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import Ice
import omero

from .. import errors
from .base import StatefulService
from .registry import CREATORS, GETTERS, SERVICES

if TYPE_CHECKING:
    from ..context import Call


class ServiceFactory:
    """omero.api.ServiceFactory, one for every client of a session."""

    def getByName(self, call: Call, name: str):
        if name not in SERVICES:
            raise _unknown(name)
        return call.core.service(call.client, name)

    def createByName(self, call: Call, name: str):
        if name not in SERVICES:
            raise _unknown(name)
        return call.core.new_service(call, name)

    def sharedResources(self, call: Call):
        return call.core.service(call.client, "omero.grid.SharedResources")

    # -- life

    def setCallback(self, call: Call, callback) -> None:
        pass  # heartbeats go over the connection

    def detachOnDestroy(self, call: Call) -> None:
        call.client.detached = True

    def closeOnDestroy(self, call: Call) -> None:
        call.client.detached = False

    def close(self, call: Call) -> None:
        call.core.sessions.leave(call.client)

    destroy = close  # the same in the words of Glacier2

    def getSession(self, call: Call):
        return call.wire(call.session.record)

    def activeServices(self, call: Call) -> list[str]:
        return [Ice.identityToString(identity) for identity, _ in call.client.services.values()]

    def keepAlive(self, call: Call, proxy) -> bool:
        return proxy is not None and call.core.alive(proxy)

    def keepAllAlive(self, call: Call, proxies) -> int:
        """Bit i is set if the i-th service is gone."""
        return sum(1 << i for i, proxy in enumerate(proxies) if not self.keepAlive(call, proxy))

    def subscribe(self, call: Call, topic: str, proxy) -> None:
        raise errors.internal("not implemented: ServiceFactory.subscribe")

    # -- group of the session

    def getSecurityContexts(self, call: Call) -> list:
        return [call.wire(g) for g in call.core.accounts.groups_of(call.user)]

    def setSecurityContext(self, call: Call, obj):
        group = call.store.get("ExperimenterGroup", obj.id.val)
        if group is None or (group not in call.member_of and not call.is_admin):
            raise errors.security(f"User {call.user.id} is not a member of group {obj.id.val}")
        stateful = [
            Ice.identityToString(identity).rpartition("/")[2]
            for identity, service in call.client.services.values()
            if isinstance(service, StatefulService)
        ]
        if stateful:
            lines = "\n".join(stateful)
            raise errors.security(
                f"SecurityContext change cancelled:\n{call.session.uuid} has active stateful services:\n{lines}"
            )
        old, call.session.group = call.session.group, group
        return omero.model.ExperimenterGroupI(old.id, False)

    # -- commands

    def submit(self, call: Call, request):
        return call.core.submit(call, request)


def _unknown(name: str) -> omero.ApiUsageException:
    return errors.api_usage(
        f"{name} is an unknown service. Please check Constants.ice or the documentation for valid strings."
    )


def _getter(name: str):
    def get(self, call: Call):
        return call.core.service(call.client, name)

    return get


def _creator(name: str):
    def create(self, call: Call):
        return call.core.new_service(call, name)

    return create


for _method, _name in GETTERS.items():
    setattr(ServiceFactory, _method, _getter(_name))
for _method, _name in CREATORS.items():
    setattr(ServiceFactory, _method, _creator(_name))
