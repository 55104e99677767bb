"""A server without sockets and a little data, for tests of commands on objects."""

import pytest
from omero.cmd import Delete2

from embedded_omero.commands.base import Refused
from embedded_omero.commands.run import run
from embedded_omero.context import Call

# What an image of `Lab.image` consists of.
IMAGE = {"Image": 1, "Pixels": 1, "Channel": 1, "LogicalChannel": 1, "StatsInfo": 1, "RenderingDef": 1, "QuantumDef": 1}


class Lab:
    """A server without sockets: alice, bob and carol (a leader) in groups of three levels; calls by name."""

    def __init__(self, core):
        self.core = core
        self.groups = {n: core.accounts.add_group(n, level) for n, level in
                       (("ra", "rwra--"), ("rw", "rwrw--"), ("private", "rw----"))}  # fmt: skip
        self.foreign = core.accounts.add_group("foreign", "rwra--")
        self.sessions = {}
        for name in ("alice", "bob", "carol"):
            member_of = [*self.groups.values(), core.accounts.group("user")]
            user = core.accounts.add_user(name, name, "Tester", member_of, None)
            core.accounts.set_leader(user, self.groups["ra"], name == "carol")
            self.sessions[name] = core.sessions.create(user)
        self.sessions["root"] = core.sessions.create(core.accounts.user("root"))

    def call(self, who="alice", group="ra"):
        return Call(self.core, self.sessions[who], None, {"omero.group": str(self.groups[group].id)})

    def make(self, entity, who="alice", group="ra", **values):
        return self.call(who, group).add(entity, values)

    def link(self, parent, child, who="alice", group="ra"):
        kind = "Annotation" if child.entity.root.name == "Annotation" else child.entity.name
        return self.make(f"{parent.entity.root.name}{kind}Link", who, group, parent=parent, child=child)

    def image(self, name="image", who="alice", group="ra", **values):
        """An image with one channel, settings of its owner and bytes on disk."""
        image = self.make("Image", who, group, name=name, **values)
        pixels = self.make("Pixels", who, group, image=image, sizeX=1)
        channel = self.make("LogicalChannel", who, group, name=name)
        self.make("Channel", who, group, pixels=pixels, logicalChannel=channel,
                  statsInfo=self.make("StatsInfo", who, group))  # fmt: skip
        self.settings(pixels, who, group)
        self.core.repositories.pixels_path(pixels).write_bytes(b"planes")
        return image

    def settings(self, pixels, who, group="ra"):
        quantum = self.make("QuantumDef", who, group)
        return self.make("RenderingDef", who, group, pixels=pixels, quantization=quantum)

    def fileset(self, *images, group="ra"):
        fileset = self.make("Fileset", group=group, templatePrefix="x/")
        file = self.make("OriginalFile", group=group, name="a.tif", path="x/", repo=self.core.repositories.managed_uuid)
        self.make("FilesetEntry", group=group, fileset=fileset, originalFile=file)
        for image in images:
            self.core.store.set(image, "fileset", fileset)
        return fileset, file

    def plate(self, wells=2):
        """A plate and its images, all of one fileset."""
        plate = self.make("Plate", name="plate")
        run_ = self.make("PlateAcquisition", plate=plate)
        images = [self.image(f"field {n}") for n in range(wells)]
        made = [self.make("Well", plate=plate, row=0, column=n) for n in range(wells)]
        for well, image in zip(made, images, strict=True):
            self.make("WellSample", well=well, image=image, plateAcquisition=run_)
        self.fileset(*images)
        return plate, made, images

    def run(self, request, who="alice", group="ra"):
        return run(self.call(who, group), request)

    def delete(self, *records, who="alice", **options):
        return self.run(Delete2(targets(records), **options), who).deletedObjects

    def refusal(self, request, who="alice"):
        """Message of the refusal; nothing must have changed."""
        before = self.count()
        with pytest.raises(Refused) as caught:
            self.run(request, who)
        assert self.count() == before
        response = caught.value.response
        return getattr(response, "message", "") or f"{response.name}: {response.parameters['message']}"

    def count(self):
        return sum(self.core.store.count(e) for e in self.core.store.model.entities if e != "Event")

    def there(self, *records):
        return [self.core.store.get(r.entity, r.id) is r for r in records]


def targets(records):
    found = {}
    for record in records:
        found.setdefault(record.entity.name, []).append(record.id)
    return found


def numbers(objects):
    """{'Image': 2} of {'ome.model.core.Image': [1, 2]}."""
    return {name.rpartition(".")[2]: len(ids) for name, ids in objects.items()}
