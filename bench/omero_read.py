"""How much faster the backend ``omero_local`` reads an image from its file than planes come through the API.

Run it with ``python bench/omero_read.py [--quick] [--json FILE]``; it takes less than a minute. The server is the
embedded one, in a process of its own on the same CPUs; the image is an OME-TIFF of camera noise.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from _through_omero import SIDE, server, write_image

from openhcs_backends.omero_local import OMEROLocalBackend
from openhcs_core.omero.login import Login
from openhcs_core.omero.session import gateway, session

EXPECTED = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller image")
    parser.add_argument("--json", type=Path, help="write the figures here, for machines")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), 16 if args.quick else 64)
    print(f"{'':24} {'seconds':>8} {'MB/s':>8}")
    for name in ("direct", "api"):
        print(f"{name:24} {figures[name + '_s']:8.2f} {figures['mb'] / figures[name + '_s']:8.0f}")
    print(f"{'direct_vs_api':24} {figures['direct_vs_api']:8.1f}   expected: at least {EXPECTED:g}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


def measure(folder: Path, sections: int) -> dict[str, float]:
    """Read all planes of one image both ways, three times in turn; the medians, opening and closing included."""
    tiff = folder / "camera.ome.tif"
    size = write_image(tiff, sections) / 1e6
    direct, api = [], []
    with (
        server(tiff, folder) as (login, image),
        session(login["host"], login["port"], user=login["user"], password=login["password"]) as client,
    ):
        backend = OMEROLocalBackend(Login.of(client))
        for _ in range(3):
            begin = time.perf_counter()
            sums = read_direct(backend, image)
            direct.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            assert read_planes(client, image) == sums, "both ways have to give the same"
            api.append(time.perf_counter() - begin)
    direct_s, api_s = float(np.median(direct)), float(np.median(api))
    return {"direct_vs_api": api_s / direct_s, "direct_s": direct_s, "api_s": api_s, "mb": size}


def read_direct(backend: OMEROLocalBackend, image: int) -> list[int]:
    """Sums of all planes, as the backend reads them."""
    with backend.open_plate(f"Image:{image}") as plate:
        (addresses,) = plate.layout.planes.values()
        sums = [int(plane[::64].sum()) for address in addresses for plane in plate.read([address])]
        assert plate.source == "the image's file", plate.source
        return sums


def read_planes(client, image: int) -> list[int]:
    """Sums of all planes, in the same order, through one store."""
    conn = gateway(client)
    wrapped = conn.getObject("Image", image)
    store = client.sf.createRawPixelsStore()
    store.setPixelsId(wrapped.getPixelsId(), False)
    sums = []
    for c in range(wrapped.getSizeC()):
        for z in range(wrapped.getSizeZ()):
            plane = np.frombuffer(store.getPlane(z, c, 0), ">u2").reshape(SIDE, SIDE).astype("u2")
            sums.append(int(plane[::64].sum()))
    store.close()
    return sums


if __name__ == "__main__":
    main()
