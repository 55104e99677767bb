"""Viewers as the person gives them to a script, and what the site allows."""

import pytest

from openhcs_core.errors import OpenHCSError
from openhcs_core.omero.viewers import ViewerRequest
from openhcs_core.settings import Settings
from openhcs_core.streaming.security import key_from_text, key_text
from openhcs_core.streaming.sockets import Server

KEYS = [f"{number:02x}" * 32 for number in (17, 34, 51)]
Z85 = [key_from_text(key) for key in KEYS]
NEAR, FAR = "tcp://127.0.0.1:5555", "tcp://10.1.2.3:5555"


def request(address=None, key=None):
    return ViewerRequest.from_inputs({"Viewer_Address": address, "Viewer_Key": key})


def viewers(address, key=None, **settings):
    """What is made of a request, and the lines that were told."""
    told = []
    return request(address, key).viewers(Settings(**settings), told.append), told


@pytest.mark.parametrize(
    ("address", "key", "expected"),
    [
        (None, None, None),
        ("  ", "", None),
        (NEAR, None, ViewerRequest((Server(NEAR),))),
        (f"{FAR}/{KEYS[0]}", None, ViewerRequest((Server(FAR, Z85[0]),))),
        (FAR, KEYS[0].upper(), ViewerRequest((Server(FAR, Z85[0]),))),
        (f"{FAR}/{KEYS[0]}", Z85[0], ViewerRequest((Server(FAR, Z85[0]),))),
        (f" {FAR}/{KEYS[0]}, {NEAR} {NEAR}", None, ViewerRequest((Server(FAR, Z85[0]), Server(NEAR)))),
        ("Listen", KEYS[0], ViewerRequest((), True, (Z85[0],))),
        (f"listen {NEAR}", f"{KEYS[0]},{KEYS[1]}", ViewerRequest((Server(NEAR),), True, (Z85[0], Z85[1]))),
    ],
)
def test_parameters(address, key, expected):
    assert request(address, key) == expected


@pytest.mark.parametrize(
    ("address", "key", "message"),
    [
        ("desk:5555", None, "'desk:5555' is no address of a viewer; write it like tcp://"),
        (f"{NEAR}/{KEYS[0][:-1]}", None, "The key is not a public key: it has 64 hexadecimal digits"),
        ("listen", "", "give the public key of the viewer as Viewer_Key"),
        (f"{NEAR} {FAR}", KEYS[0], "Viewer_Key is the key of one viewer"),
        (f"{FAR}/{KEYS[0]}", KEYS[1], "Viewer_Key is the key of one viewer"),
        (NEAR, f"{KEYS[0]} {KEYS[1]}", "Viewer_Key is the key of one viewer"),
        (None, KEYS[0], "Viewer_Key is the key of one viewer"),
        (None, "secret", "The key is not a public key"),
    ],
)
def test_parameters_that_make_no_sense(address, key, message):
    with pytest.raises(OpenHCSError) as caught:
        request(address, key)
    assert message in str(caught.value)


def test_on_this_machine_nothing_is_told():
    found, told = viewers(NEAR)
    assert (found.connect, found.listen, found.keys, found.everything) == ((Server(NEAR),), (), None, True)
    found.ready(None)
    assert told == [""]


def test_names_become_the_numbers_that_were_checked():
    found, _ = viewers(f"tcp://localhost:5560/{KEYS[0]}")
    (server,) = found.connect
    assert server == Server("tcp://127.0.0.1:5560", Z85[0])


def test_elsewhere_with_keys_for_the_run():
    found, told = viewers(f"{FAR}/{KEYS[0]}", viewer_targets=("10.1.0.0/16:5555",), stream_memory_mb=7)
    assert found.connect == (Server(FAR, Z85[0]),)
    assert found.options.memory_bytes == 7 << 20
    found.ready(None)
    assert told == [f"Stream: {key_text(found.keys.public)}"]
    again, _ = viewers(f"{FAR}/{KEYS[0]}", viewer_targets=("10.1.0.0/16",))
    assert again.keys.public != found.keys.public


@pytest.mark.parametrize(
    ("listen", "host", "port", "told"),
    [
        ("0.0.0.0:5700-5702", "omero.example.org", "tcp://0.0.0.0:5701", "tcp://omero.example.org:5701"),
        ("10.0.0.7:5700-5702", None, "tcp://10.0.0.7:5702", "tcp://10.0.0.7:5702"),
        ("[::]:5700-5702", "fd00::2", "tcp://[::]:5702", "tcp://[fd00::2]:5702"),
    ],
)
def test_listening(listen, host, port, told):
    found, lines = viewers("listen", f"{KEYS[0]} {KEYS[1]}", viewer_listen=listen, viewer_host=host)
    assert port in found.listen
    assert len(found.listen) == 3
    assert found.allow == (Z85[0], Z85[1])
    found.ready(Server(port, found.keys.public))
    assert lines == [f"Stream: {told}/{key_text(found.keys.public)}"]


def test_listening_everywhere_tells_the_name_of_the_machine(monkeypatch):
    monkeypatch.setattr("platform.node", lambda: "worker-3")
    found, lines = viewers("listen", KEYS[0], viewer_listen="*:5700-5701")
    found.ready(Server("tcp://0.0.0.0:5700", found.keys.public))
    assert lines[0].startswith("Stream: tcp://worker-3:5700/")


@pytest.mark.parametrize(
    ("address", "settings", "message"),
    [
        (
            "tcp://127.0.0.1:22",
            {},
            "scripts may not connect to tcp://127.0.0.1:22 here. Ask the administrator to add it to",
        ),
        (FAR, {}, "viewer_targets in openhcs.toml."),
        (FAR, {"viewer_listen": "0.0.0.0:5700"}, "viewer_targets in openhcs.toml, or give 'listen' as Viewer_Address."),
        ("tcp://no.such.host.invalid:5555", {}, "The host of tcp://no.such.host.invalid:5555 is not known here"),
        (FAR, {"viewer_targets": ("10.1.2.3",)}, "is on another machine, so its public key is needed"),
    ],
)
def test_places_that_are_refused(address, settings, message):
    with pytest.raises(OpenHCSError) as caught:
        viewers(address, **settings)
    assert message in str(caught.value)


def test_listening_is_for_the_site_to_allow():
    with pytest.raises(OpenHCSError, match="scripts may not listen here. Ask the administrator to set viewer_listen"):
        viewers("listen", KEYS[0])
