"""Sessions, event contexts, groups as call context."""

import time

import omero
from omero.rtypes import rint, rlong, rstring, unwrap

from embedded_omero.conformance import Id, case


def context(w, ec):
    return {
        "userId": Id("Experimenter", ec.userId),
        "userName": ec.userName,
        "groupId": Id("ExperimenterGroup", ec.groupId),
        "groupName": ec.groupName,
        "isAdmin": ec.isAdmin,
        "eventType": ec.eventType,
        "shareId": ec.shareId,
        "memberOf": {Id("ExperimenterGroup", g) for g in ec.memberOfGroups},
        "leaderOf": {Id("ExperimenterGroup", g) for g in ec.leaderOfGroups},
        "permissions": ec.groupPermissions,
        "privileges": sorted(ec.adminPrivileges),
        "sudoerId": ec.sudoerId,
        "sudoerName": ec.sudoerName,
        "eventId": ec.eventId,
    }


def can_join(w, uuid):
    """Join and leave again (which closes the session if nobody else uses it)."""
    c = w.raw_client()
    name = c.joinSession(uuid).getAdminService().getEventContext().userName
    c.closeSession()
    return name


@case("sessions")
def wrong_password(w, a):
    a("wrong password", lambda: w.raw_client().createSession(w.users["alice"][0], "nope"))
    a("unknown user", lambda: w.raw_client().createSession("nobody-like-this", "nope"))
    a("empty password", lambda: w.raw_client().createSession(w.users["alice"][0], ""))


@case("sessions")
def event_context(w, a):
    for who in ("alice", "root", "carol"):
        a(who, lambda: context(w, w.sf(who).getAdminService().getEventContext()))


@case("sessions")
def event_context_in_other_group(w, a):
    admin = w.sf("alice").getAdminService()
    for g in ("private", "rw", "-1"):
        a(g, lambda: context(w, admin.getEventContext({"omero.group": str(w.group(g))})))
    a("not a member", lambda: context(w, admin.getEventContext({"omero.group": str(w.group("solo"))})))
    a("no such group", lambda: context(w, admin.getEventContext({"omero.group": "999999"})))
    a("not a number", lambda: context(w, admin.getEventContext({"omero.group": "abc"})))


@case("sessions")
def member_groups_order(w):
    """The current group comes first."""
    ec = w.sf("alice").getAdminService().getEventContext({"omero.group": str(w.group("rw"))})
    return [Id("ExperimenterGroup", ec.memberOfGroups[0]), Id("ExperimenterGroup", ec.groupId)]


@case("sessions")
def join_by_uuid(w, a):
    c = w.fresh("alice")
    uuid = c.getSessionId()
    d = w.raw_client()
    a("joined", lambda: context(w, d.joinSession(uuid).getAdminService().getEventContext()))
    a("same uuid", lambda: d.getSessionId() == uuid)
    e = w.raw_client()
    a("createSession(uuid, uuid)", lambda: e.createSession(uuid, uuid).getAdminService().getEventContext().userName)
    a("reference count", lambda: c.sf.getSessionService().getReferenceCount(uuid))
    a("unknown uuid", lambda: can_join(w, "00000000-0000-0000-0000-000000000000"))
    e.closeSession()
    d.closeSession()
    c.killSession()


@case("sessions")
def close_one_of_two_clients(w, a):
    c, d = w.fresh("alice"), w.raw_client()
    uuid = c.getSessionId()
    d.joinSession(uuid)
    c.closeSession()
    a("second client still works", lambda: d.sf.getAdminService().getEventContext().userName)
    a("join again", lambda: can_join(w, uuid))
    d.closeSession()
    time.sleep(1)  # the end of a session reaches all parts of the server with a delay
    a("join after both closed", lambda: can_join(w, uuid))


@case("sessions")
def detach_on_destroy(w, a):
    c = w.fresh("alice")
    uuid = c.getSessionId()
    c.sf.detachOnDestroy()
    c.closeSession()
    d = w.raw_client()
    a("join after detach", lambda: context(w, d.joinSession(uuid).getAdminService().getEventContext())["userName"])
    d.sf.closeOnDestroy()
    d.closeSession()
    time.sleep(1)
    a("join after closeOnDestroy", lambda: can_join(w, uuid))


@case("sessions")
def kill_session(w, a):
    c = w.fresh("alice")
    uuid = c.getSessionId()
    d = w.raw_client()
    d.joinSession(uuid)
    a("killSession", lambda: c.killSession())
    time.sleep(1)
    a("other client", lambda: d.sf.getAdminService().getEventContext().userName)
    a("join", lambda: can_join(w, uuid))


@case("sessions")
def use_after_close(w, a):
    c = w.fresh("alice")
    c.closeSession()
    a("sf on the client", lambda: c.sf)
    a("getSession", lambda: c.getSession())
    a("getSessionId", lambda: c.getSessionId())


@case("sessions")
def keep_alive(w, a):
    sf = w.sf("alice")
    q = sf.getQueryService()
    store = sf.createRawFileStore()
    a("null", lambda: sf.keepAlive(None))
    a("stateless", lambda: sf.keepAlive(q))
    a("stateful", lambda: sf.keepAlive(store))
    a("all", lambda: sf.keepAllAlive([q, store]))
    store.close()
    a("closed stateful", lambda: sf.keepAlive(store))
    a("all with closed", lambda: sf.keepAllAlive([q, store]))


@case("sessions")
def active_services(w, a):
    c = w.fresh("alice")
    a("new session", lambda: [s.split("/")[-1] for s in c.sf.activeServices()])
    c.sf.getQueryService()
    store = c.sf.createRawFileStore()
    a("one stateless, one stateful", lambda: {s[s.index("omero.api.") :] for s in c.sf.activeServices()})
    store.close()
    a("after close", lambda: len(c.sf.activeServices()))
    a("closed service", lambda: store.size())
    c.closeSession()


@case("sessions")
def unknown_service(w, a):
    a("getByName", lambda: w.sf("alice").getByName("omero.api.NoSuch"))
    a("createByName", lambda: w.sf("alice").createByName("omero.api.NoSuch"))
    a("IQuery by name", lambda: w.sf("alice").getByName("omero.api.IQuery"))


@case("sessions")
def session_object(w):
    c = w.raw_client()
    c.setAgent("conformance")
    c.createSession(*w.users["alice"])
    s = c.sf.getSessionService().getSession(c.getSessionId())
    out = {
        "class": s.__class__.__name__,
        "userAgent": s.userAgent,
        "timeToIdle": s.timeToIdle,
        "timeToLive": s.timeToLive,
        "defaultEventType": s.defaultEventType,
        "message": s.message,
        "closed": s.closed,
        "owner loaded": s.owner.isLoaded(),
        "uuid is id": s.uuid.val == c.getSessionId(),
        "started": s.started is not None,
        "group": s.details.group,
        "owner": Id("Experimenter", s.owner.id.val),
    }
    c.closeSession()
    return out


@case("sessions")
def sudo(w, a):
    def as_user(who, name, group):
        p = omero.sys.Principal(name, group, "User", None)
        svc = w.sf(who).getSessionService()
        s = svc.createSessionWithTimeouts(p, 60000, 30000)
        c = w.raw_client()
        try:
            return dict(
                context(w, c.joinSession(s.uuid.val).getAdminService().getEventContext()),
                idle=s.timeToIdle,
                live=s.timeToLive,
            )
        finally:
            c.killSession()

    alice = w.users["alice"][0]
    a("root as alice", lambda: as_user("root", alice, w.name("rw")))
    a("root as alice, group None", lambda: as_user("root", alice, None))
    a("root as alice, other group", lambda: as_user("root", alice, w.name("solo")))
    a("alice as bob", lambda: as_user("alice", w.users["bob"][0], w.name("rw")))
    a("root as nobody", lambda: as_user("root", "nobody-like-this", w.name("rw")))


@case("sessions")
def timeouts(w, a):
    """Sessions which live or idle for at most a second, used after two."""
    for label, live, idle in (("idle", 0, 1000), ("live", 1000, 0)):

        def new():
            return (
                w.sf("root")
                .getSessionService()
                .createSessionWithTimeouts(omero.sys.Principal(w.users["alice"][0], None, "User", None), live, idle)
                .uuid.val
            )

        late, early = new(), w.raw_client()
        sf = early.joinSession(new())
        time.sleep(2.5)
        a(label + ": join", lambda: can_join(w, late))
        a(label + ": call", lambda: sf.getAdminService().getEventContext().userName)
        a(label + ": close", lambda: early.closeSession())


@case("sessions")
def user_session(w, a):
    svc = w.sf("alice").getSessionService()
    a(
        "own second session",
        lambda: (lambda s: [s.timeToLive, s.timeToIdle, s.defaultEventType, s.userAgent])(
            svc.createUserSession(0, 20000, w.name("ro"))
        ),
    )
    a("group of others", lambda: svc.createUserSession(0, 20000, w.name("solo")))
    a("too long idle", lambda: svc.createUserSession(0, 10**12, w.name("ro")))


@case("sessions")
def inputs_and_outputs(w, a):
    c = w.fresh("alice")
    svc, uuid = c.sf.getSessionService(), c.getSessionId()
    a("set", lambda: svc.setInput(uuid, "s", rstring("x")))
    svc.setInput(uuid, "i", rint(3))
    a("get", lambda: svc.getInput(uuid, "s"))
    a("all", lambda: svc.getInputs(uuid))
    a("missing", lambda: svc.getInput(uuid, "nope"))
    a("null removes", lambda: (svc.setInput(uuid, "s", None), svc.getInputs(uuid))[1])
    a("keys", lambda: svc.getInputKeys(uuid))
    a("outputs", lambda: (svc.setOutput(uuid, "o", rlong(1)), svc.getOutputs(uuid))[1])
    a("other session", lambda: svc.getInputs("00000000-0000-0000-0000-000000000000"))
    a("closeSession", lambda: svc.closeSession(svc.getSession(uuid)))


@case("sessions")
def security_context(w, a):
    c = w.fresh("alice")

    def switch(obj):
        old = c.sf.setSecurityContext(obj)
        return [old, c.sf.getAdminService().getEventContext().groupName]

    def group(n):
        return omero.model.ExperimenterGroupI(w.group(n), False)

    a("other group", lambda: switch(group("rw")))
    a("not a member", lambda: switch(group("solo")))
    a(
        "contexts",
        lambda: {o.__class__.__name__ + " " + (o.name.val if o.isLoaded() else "") for o in c.sf.getSecurityContexts()},
    )
    store = c.sf.createRawFileStore()
    a("with open stateful service", lambda: switch(group("ro")))
    store.close()
    a("after closing it", lambda: switch(group("ro")))
    c.closeSession()


@case("sessions")
def group_in_call_context(w, a):
    q = w.sf("alice").getQueryService()
    hql = "select d.name from Dataset d where d.name like 'D % %' order by d.name"
    for g in ("private", "ro", "ra", "-1"):
        a(
            g,
            lambda: (
                unwrap(q.projection(hql, None, {"omero.group": str(w.group(g))}))
                if g != "-1"
                else sum(
                    1
                    for x in unwrap(
                        q.projection(
                            "select d.details.group.name from Dataset d where d.name like 'D % %'",
                            None,
                            {"omero.group": "-1"},
                        )
                    )
                    if x[0].endswith(w.token)
                )
            ),
        )
    a("not a member", lambda: q.projection(hql, None, {"omero.group": str(w.group("solo"))}))
    a("user group", lambda: q.projection(hql, None, {"omero.group": "1"}))


@case("sessions")
def save_in_all_groups_context(w, a):
    d = omero.model.DatasetI()
    d.name = rstring("x")
    a("omero.group=-1", lambda: w.sf("alice").getUpdateService().saveAndReturnObject(d, {"omero.group": "-1"}))
    a(
        "other group",
        lambda: w.sf("alice").getUpdateService().saveAndReturnObject(d, {"omero.group": str(w.group("rw"))}),
    )
    a(
        "not a member",
        lambda: w.sf("alice").getUpdateService().saveAndReturnObject(d, {"omero.group": str(w.group("solo"))}),
    )


@case("sessions")
def login_into_group(w, a):
    def login(group):
        c = w.raw_client()
        c.getImplicitContext().put("omero.group", group)
        try:
            return c.createSession(*w.users["alice"]).getAdminService().getEventContext().groupName
        finally:
            c.closeSession()

    a("id", lambda: login(str(w.group("rw"))))
    a("name", lambda: login(w.name("rw")))


@case("sessions")
def default_group(w, a):
    admin = w.sf("bob").getAdminService()
    bob = w.id("Experimenter", "bob")
    a("default", lambda: admin.getDefaultGroup(bob))
    a("order of groups", lambda: [m.parent.name for m in admin.getExperimenter(bob).copyGroupExperimenterMap()][:1])
    a(
        "set to a foreign group",
        lambda: admin.setDefaultGroup(
            omero.model.ExperimenterI(bob, False), omero.model.ExperimenterGroupI(w.group("solo"), False)
        ),
    )
