"""The API through several connections: the same voxels, also when one of them fails; the session stays."""

import threading
import types

import Ice
import numpy as np
import omero
import pytest

from openhcs_core.omero import connections, raw_pixels
from openhcs_core.omero.connections import Connections
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.raw_pixels import RawPixels, piece_size
from openhcs_core.omero.session import gateway, session_is_over


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Limits by which small images are large."""
    monkeypatch.setattr(raw_pixels, "PIECE_BYTES", 2000)
    monkeypatch.setattr(raw_pixels, "PARALLEL_FROM", 1)


@pytest.fixture
def opened(conn):
    """Function which opens images for reading; all are closed in the end."""
    found = []

    def make(image, conn=conn):
        found.append(RawPixels(conn, image))
        return found[-1]

    yield make
    for pixels in found:
        pixels.close()


def sessions_clients(server, conn):
    """How many clients the session of a gateway has."""
    return len(server.core.sessions.open[conn.c.getSessionId()].clients)


def stores(server, conn):
    """How many raw pixels stores are open for the clients of a session."""
    clients = server.core.sessions.open[conn.c.getSessionId()].clients.values()
    return sum(type(made).__name__ == "RawPixelsStore" for client in clients for _, made in client.services.values())


def test_all_connections_read_and_leave(omero_server, make_image, conn, voxels, opened):
    array = voxels(2, 2, 5, 60, 45)
    image = make_image(array)
    before = sessions_clients(omero_server, conn)
    pixels = opened(image)
    for t, c in np.ndindex(2, 2):
        assert np.array_equal(pixels.read(t, c, 1, 5, 7, 60), array[t, c, 1:5, 7:60])
    assert sessions_clients(omero_server, conn) == before + connections.EXTRA
    assert stores(omero_server, conn) == 1 + connections.EXTRA
    pixels.close()
    assert stores(omero_server, conn) == 0
    assert conn.getObject("Image", image.getId()) is not None


def test_part_of_rows(make_image, voxels, opened):
    array = voxels(1, 1, 2, 60, 45)
    assert np.array_equal(opened(make_image(array)).read(0, 0, 0, 2, 3, 50, 11, 30), array[0, 0, :, 3:50, 11:30])


def test_two_images_share_connections(omero_server, make_image, conn, voxels, opened):
    array = voxels(1, 1, 2, 60, 45)
    images = [make_image(array), make_image(array + 1)]
    before = sessions_clients(omero_server, conn)
    first, second = map(opened, images)
    assert np.array_equal(first.read(0, 0, 0, 2, 0, 60), array[0, 0])
    assert np.array_equal(second.read(0, 0, 0, 2, 0, 60), array[0, 0] + 1)
    assert sessions_clients(omero_server, conn) == before + connections.EXTRA
    first.close()
    assert sessions_clients(omero_server, conn) == before + connections.EXTRA
    assert np.array_equal(second.read(0, 0, 0, 2, 0, 60), array[0, 0] + 1)
    second.close()
    assert sessions_clients(omero_server, conn) == before


def test_small_images_need_one_connection(omero_server, make_image, conn, voxels, opened, monkeypatch):
    monkeypatch.setattr(raw_pixels, "PARALLEL_FROM", 1 << 20)
    array = voxels(1, 1, 2, 60, 45)
    pixels, before = opened(make_image(array)), sessions_clients(omero_server, conn)
    assert np.array_equal(pixels.read(0, 0, 0, 2, 0, 60), array[0, 0])
    assert sessions_clients(omero_server, conn) == before


def test_a_server_that_refuses_more_connections(make_image, conn, voxels, opened, monkeypatch, caplog):
    def refuse(secure):
        raise omero.WrappedCreateSessionException("no more", False, 0, "")

    array = voxels(1, 1, 3, 60, 45)
    pixels = opened(make_image(array))
    monkeypatch.setattr(conn.c, "createClient", refuse)
    with caplog.at_level("WARNING"):
        assert np.array_equal(pixels.read(0, 0, 0, 3, 0, 60), array[0, 0])
    assert "Reading through 1 connections" in caplog.text


def test_a_connection_that_breaks(omero_server, make_image, conn, voxels, opened, caplog):
    array = voxels(1, 1, 3, 60, 45)
    pixels = opened(make_image(array))
    assert np.array_equal(pixels.read(0, 0, 0, 3, 0, 60), array[0, 0])
    shared = Connections.of(conn.c)
    for client in shared.clients:
        client.getSession().ice_getConnection().close(True)
    with caplog.at_level("WARNING"):
        for _ in range(3):
            assert np.array_equal(pixels.read(0, 0, 0, 3, 0, 60), array[0, 0])
    shared.release()
    assert conn.c.sf.getAdminService().getEventContext().sessionUuid == conn.c.getSessionId()


def test_a_piece_that_is_damaged(omero_server, import_tiff, conn, voxels, opened, stored_file):
    """Whichever connection meets it, the plane is named."""
    array = voxels(3, 60, 45)
    image = import_tiff(array, "image.ome.tif", metadata={"axes": "ZYX"})
    pixels = opened(image)
    assert np.array_equal(pixels.read(0, 0, 0, 3, 0, 60), array)
    with stored_file(image).open("r+b") as file:
        file.truncate(stored_file(image).stat().st_size - 3000)
    with pytest.raises(OmeroError, match="^plane T1 C1 Z[23] cannot be read: "):
        pixels.read(0, 0, 0, 3, 0, 60)


def test_the_end_of_the_session_is_noticed(omero_server, make_image, connect, omero_user, voxels, conn):
    image = make_image(voxels(1, 1, 3, 60, 45))
    other = gateway(connect(omero_user).c)
    pixels = RawPixels(other, other.getObject("Image", image.getId()))
    pixels.read(0, 0, 0, 3, 0, 60)
    with omero_server.core.store.lock:
        omero_server.core.sessions.close(omero_server.core.sessions.open[other.c.getSessionId()])
    with pytest.raises((omero.ServerError, Ice.Exception)) as caught:
        pixels.read(0, 0, 0, 3, 0, 60)
    assert session_is_over(caught.value)
    pixels.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("omero_")]


def test_pyramids_are_read_at_full_resolution(import_tiff, conn, voxels, opened):
    """Tiles of the server, and pieces that meet where tiles do."""
    array = np.zeros((3200, 3200), "u1")
    array[::7, ::11] = 9
    pixels = opened(import_tiff(array, metadata=None, tile=(256, 512), compression="zlib"))
    assert pixels.tile in ((256, 512), (256, 256))
    assert pixels.chunk == (1, 256)
    assert np.array_equal(pixels.read(0, 0, 0, 1, 1000, 1700)[0], array[1000:1700])


@pytest.mark.parametrize(("seconds", "chunk"), [((0.1, 0.3), (1, 1)), ((0.25, 0.3), (1, 60))])
def test_planes_that_the_server_decodes_as_a_whole(make_image, voxels, opened, monkeypatch, seconds, chunk):
    """Three pieces of a plane: if they take much longer than the plane, planes are asked for."""
    array = voxels(1, 1, 2, 60, 45)
    pixels = opened(make_image(array))
    clock = iter([0, 9, 9, 9 + seconds[0], 20, 20 + seconds[1]])
    monkeypatch.setattr(raw_pixels, "time", types.SimpleNamespace(perf_counter=lambda: next(clock)))
    assert pixels.chunk == chunk
    assert np.array_equal(pixels.read(0, 0, 0, 2, 0, 60), array[0, 0])


def test_an_image_that_is_not_ready(make_image, conn, voxels, monkeypatch):
    def missing(*_):
        raise omero.MissingPyramidException(message="the pyramid is missing", backOff=1000)

    image = make_image(voxels(1, 1, 1, 20, 30))
    monkeypatch.setattr(omero.api.RawPixelsStorePrx, "setPixelsId", missing)
    with pytest.raises(OmeroError, match="^the server still prepares it: the pyramid is missing. Try again in"):
        RawPixels(conn, image)


@pytest.mark.parametrize(
    ("plane", "tile", "expected"),
    [
        ((2048, 2048), (2048, 2048), (512, 2048)),
        ((512, 512), (512, 512), (512, 512)),
        ((100_000, 80_000), (256, 256), (256, 4096)),
        ((100_000, 80_000), (1024, 1024), (1024, 1024)),
        ((100_000, 80_000), (2048, 2048), (2048, 2048)),
        ((100_000, 80_000), (1, 80_000), (13, 80_000)),
        ((20_000, 20_000), (20_000, 20_000), (52, 20_000)),
        ((3, 50_000_000), (3, 50_000_000), (1, 8 << 20)),
    ],
)
def test_sizes_of_pieces(plane, tile, expected, monkeypatch):
    monkeypatch.setattr(raw_pixels, "PIECE_BYTES", 2 << 20)
    height, width = piece_size(plane, tile, 2)
    assert (height, width) == expected
    assert height * width * 2 <= raw_pixels.LARGEST_BYTES
