"""Messages and their frames, without sockets."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from pathlib import Path

import numpy as np
import pytest

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.delivery import TOGETHER
from openhcs_core.streaming.errors import MessageError
from openhcs_core.streaming.messages import TYPES, Ack, Begin, Hello, Image, Images, Ping, Probe, Slot, StreamState
from openhcs_core.streaming.publisher import MAX_WELL
from openhcs_core.streaming.seeds import read_seed
from openhcs_core.streaming.wire import MAX_HEADER_BYTES, PROTOCOL, decode, encode, from_table

DOCUMENT = Path(__file__).parents[2].joinpath("docs", "messaging.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("`")[0]: part for part in re.split(r"^### `", DOCUMENT, flags=re.MULTILINE)[1:]}
EXAMPLES = {name: re.search(r"```json\n(.*?)```", section, re.DOTALL)[1] for name, section in SECTIONS.items()}


def test_every_type_is_documented_with_all_its_fields():
    assert SECTIONS.keys() == TYPES.keys()
    for name, kind in TYPES.items():
        fields = {entry.name for entry in dataclasses.fields(kind)}
        assert json.loads(EXAMPLES[name]).keys() == {"type", *fields}, name
        text = SECTIONS[name].replace(EXAMPLES[name], "")
        assert [field for field in fields if f"`{field}`" not in text] == [], name
    told = json.loads(EXAMPLES["state"])["streams"][0]
    assert told.keys() == {entry.name for entry in dataclasses.fields(StreamState)}


@pytest.mark.parametrize("name", TYPES)
def test_examples_go_there_and_back(name):
    message = from_table(json.loads(EXAMPLES[name]))
    assert type(message) is TYPES[name]
    assert decode(encode(message)) == (message, None)


def test_defaults_may_be_left_out_and_payload_comes_along():
    table = {"type": "image", "stream": "s", "seq": 1, "shape": [1, 2], "dtype": "uint16", "nbytes": 4}
    image, payload = decode([PROTOCOL, json.dumps(table).encode(), b"abcd"])
    assert image == Image(stream="s", seq=1, shape=(1, 2), dtype="uint16", nbytes=4)
    assert payload == b"abcd"
    assert image.address == PlaneAddress("")


def header(**changes):
    table = {"type": "image", "stream": "s", "seq": 1, "shape": [4, 4], "dtype": "uint16", "nbytes": 32} | changes
    return json.dumps({key: value for key, value in table.items() if value is not ...}).encode()


IN_SLOT = header(type=..., slot={"segment": "s", "offset": 0, "ticket": 0})


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [PROTOCOL],
        [PROTOCOL, b"{}", b"", b""],
        [b"OpenHCS/2", b'{"type": "ping"}'],
        [PROTOCOL, b"\x80\x04."],
        [PROTOCOL, b"\xff\xfe{"],
        [PROTOCOL, b"[" * 100_000],
        [PROTOCOL, b'{"type": ' + b'{"a":' * 50_000],
        [PROTOCOL, b"[]"],
        [PROTOCOL, b'{"type": ["ping"]}'],
        [PROTOCOL, b'{"type": "eval"}'],
        [PROTOCOL, b'{"type": "ping", "more": 1}'],
        [PROTOCOL, b'{"type": "ping"}', b"payload"],
        [PROTOCOL, b'{"type": "begin"}'],
        [PROTOCOL, b'{"type": "begin", "stream": ""}'],
        [PROTOCOL, b'{"type": "begin", "stream": "s", "voxel_size_um": [1, 2]}'],
        [PROTOCOL, b'{"type": "begin", "stream": "s", "voxel_size_um": [1, 2, NaN]}'],
        [PROTOCOL, b'{"type": "begin", "stream": "s", "voxel_size_um": [1, 2, 1e999]}'],
        [PROTOCOL, b'{"type": "begin", "stream": "s", "values": {"row": [1]}}'],
        [PROTOCOL, b'{"type": "begin", "stream": "s", "size_yx": [0, 4]}'],
        [PROTOCOL, b'{"type": "begin", "stream": "s", "kind": "code"}'],
        [PROTOCOL, b'{"type": "begin", "stream": "' + b"s" * MAX_HEADER_BYTES + b'"}'],
        [PROTOCOL, b'{"type": "begin", "stream": "' + b"s" * 5000 + b'"}'],
        [PROTOCOL, b'{"type": "credits", "credits": ' + b"9" * 5000 + b', "window_bytes": 0}'],
        [PROTOCOL, b'{"type": "credits", "credits": true, "window_bytes": 0}'],
        [PROTOCOL, b'{"type": "credits", "credits": 1.5, "window_bytes": 0}'],
        [PROTOCOL, header()],
        [PROTOCOL, header(), b"x" * 31],
        [PROTOCOL, header(nbytes=31), b"x" * 31],
        [PROTOCOL, header(nbytes=-32), b"x" * 32],
        [PROTOCOL, header(shape=[2**40, 2**40], nbytes=2**81)],
        [PROTOCOL, header(shape=[4]), b"x" * 32],
        [PROTOCOL, header(dtype="object"), b"x" * 32],
        [PROTOCOL, header(dtype="O8"), b"x" * 32],
        [PROTOCOL, header(seq="1"), b"x" * 32],
        [PROTOCOL, header(stream=...), b"x" * 32],
        [PROTOCOL, header(slot={"segment": "s", "offset": 0, "ticket": 0}), b"x" * 32],
        [PROTOCOL, header(slot={"segment": "../../etc/passwd", "offset": 0, "ticket": 0})],
        [PROTOCOL, header(slot={"segment": ".hidden", "offset": 0, "ticket": 0})],
        [PROTOCOL, header(slot={"segment": "s", "offset": -1, "ticket": 0})],
        [PROTOCOL, header(slot={"segment": "s", "offset": 63, "ticket": 1})],
        [PROTOCOL, header(slot={"segment": "s", "offset": 0})],
        [PROTOCOL, b'{"type": "images", "images": []}'],
        [PROTOCOL, b'{"type": "images", "images": [' + header(type=...) + b"]}"],
        [PROTOCOL, b'{"type": "images", "images": [' + b",".join([IN_SLOT] * 65) + b"]}"],
        [PROTOCOL, b'{"type": "images", "images": [' + IN_SLOT + b"]}", b"x" * 32],
    ],
)
def test_what_makes_no_sense_is_refused(frames):
    with pytest.raises(MessageError):
        decode(frames)


def test_mutated_messages_are_read_or_refused_but_nothing_else():
    chance = random.Random(1)
    originals = [encode(from_table(json.loads(example)))[1] for example in EXAMPLES.values()]
    refused = 0
    for _ in range(10_000):
        text = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(text))
            text[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        try:
            decode([PROTOCOL, bytes(text)])
        except MessageError:
            refused += 1
    assert refused > 5_000


def test_what_is_too_large_is_not_sent():
    with pytest.raises(MessageError, match="too large"):
        encode(Begin(stream="s", values={"site": tuple(range(100_000))}))


def test_nested_parts_come_back_as_classes():
    slot = Slot(segment="openhcs-1", offset=4096, ticket=3)
    hello = Hello(role="publisher", id="p", incarnation="i", probe=Probe(slot=slot, nonce="00"))
    assert decode(encode(hello))[0].probe.slot == slot
    assert decode(encode(Ack(state="received", incarnation="i", seqs=(1, 2))))[0].seqs == (1, 2)
    assert encode(Ping()) == [PROTOCOL, b'{"type":"ping"}']


def test_a_flat_message_of_the_first_viewers():
    flat = {
        "shm_name": "psm_1",
        "shape": [2, 3],
        "dtype": "uint8",
        "name": "A01_s002_w3_z004.tif",
        "metadata": {"timepoint": "t005"},
    }
    batch = read_seed(json.dumps(flat).encode(), 7)
    assert [image.address for image in batch.images] == [PlaneAddress("A01", 2, 3, 4, 5)]
    assert batch.images[0].seq == 7
    assert batch.images[0].slot == Slot(segment="psm_1", offset=0, ticket=0)
    assert batch.begins[0].stream == batch.images[0].stream
    assert batch.segments == ["psm_1"]


def test_a_batch_of_the_first_viewers_with_a_stack():
    item = {"shm_name": "/psm_2", "shape": [2, 4, 4], "dtype": "uint16"}
    item["component_metadata"] = {"well": "B03", "site": "s1", "channel": 2, "z_index": "z003", "step_name": "blur"}
    table = {"type": "batch", "images": [item], "display_config": {"component_modes": {"site": "SEPARATE", "x": 1}}}
    batch = read_seed(json.dumps(table).encode(), 1)
    assert [image.address for image in batch.images] == [PlaneAddress("B03", 1, 2, z) for z in (3, 4)]
    assert [image.slot.offset for image in batch.images] == [0, 32]
    assert (batch.begins[0].step, batch.begins[0].display) == ("blur", {"site": "separate"})


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"images": []},
        {"images": {}},
        {"images": [1]},
        {"images": [{"shm_name": 1}]},
        {"images": [{"shm_name": "x", "dtype": "O", "shape": [1, 1]}]},
        {"images": [{"shm_name": "../x", "dtype": "uint8", "shape": [1, 1]}]},
        {"images": [{"shm_name": "x", "dtype": "uint8", "shape": [1, -1]}]},
        {"images": [{"shm_name": "x", "dtype": "uint8", "shape": [10**6, 1, 1]}]},
        {"images": [{"shm_name": "x", "dtype": "uint8", "shape": [2, 2], "metadata": []}], "display_config": 3},
    ],
)
def test_other_plain_json_is_refused(table):
    with pytest.raises(MessageError):
        read_seed(json.dumps(table).encode(), 1)


def test_numbers_of_numpy_are_numbers():
    image = Image(stream="s", seq=np.int64(3), shape=(np.int32(1), 2), dtype="uint8", nbytes=np.intp(2))
    assert decode([*encode(image), b"ab"])[0] == Image(stream="s", seq=3, shape=(1, 2), dtype="uint8", nbytes=2)


def test_as_many_images_as_go_together_fit_into_one_message():
    long = "\u00e4" * 4096
    image = Image(
        stream=long,
        seq=1,
        well="\u00e4" * MAX_WELL,
        shape=(2, 2),
        dtype="uint8",
        nbytes=4,
        slot=Slot(segment="s" * 64, offset=2**62, ticket=2**62),
    )
    assert decode(encode(Images(images=(image,) * TOGETHER)))[0].images[-1] == image
