"""Results of a run as a pipeline would give them, and what of them is in OMERO."""

import numpy as np
from omero.rtypes import unwrap

from openhcs_core.omero.raw_pixels import RawPixels

WELLS = ["A01", "B03"]


def made(address, factor=1, dtype="u2"):
    """Pixels that tell where they belong."""
    seed = sum(ord(sign) for sign in address.well) + 7 * address.site + 5 * address.channel + 3 * address.z_index
    return (np.arange(40 * 50).reshape(40, 50) % 97 * factor + seed).astype(dtype)


def labels(address):
    found = np.zeros((40, 50), "i4")
    found[2:9, 3:11], found[20:35, 30:50] = 300, address.site
    return found


def save_well(writer, layout, well, factor=1):
    """Images of channel 1 and 2 as one section, labels of channel 1 in all sections, a table; plane by plane."""
    for address in layout.planes[well]:
        if address.z_index == 1:
            writer.save_batch([made(address, factor)], [address.path], step_name="flat")
        if address.channel == 1:
            writer.save_batch([labels(address)], [address.path], step_name="nuclei", kind="labels")
            rows = {"Plate": ["P"] * 2, "Well": [well] * 2, "Site": [address.site] * 2, "Z": [address.z_index] * 2}
            writer.save_table(rows | {"Label": np.array([1, 300]), "Area": [300.0, 56.0]}, well, step_name="measure")


def save_all(home, results, wells=WELLS, **options):
    with home.open_results(results) as writer:
        for well in wells:
            save_well(writer, results.layout, well, **options)
            writer.finish_well(well)
        return writer.finish(wells)


def read_image(conn, number):
    pixels = RawPixels(conn, conn.getObject("Image", number))
    _, c, z, y, _ = pixels.shape
    found = np.stack([pixels.read(0, channel, 0, z, 0, y) for channel in range(c)])
    pixels.close()
    return found


def fields_of(plate):
    """Images by name of the well and number of the field."""
    return {
        (f"{well.getWellPos()[0]}{int(well.getWellPos()[1:]):02}", site): sample.getImage()
        for well in plate.listChildren()
        for site, sample in enumerate(well.listChildren(), start=1)
    }


def everything(conn):
    """How many objects of each kind the user has."""
    kinds = ("Plate", "Dataset", "Image", "Roi", "MapAnnotation", "FileAnnotation", "OriginalFile")
    where = f"where o.details.owner.id = {conn.getUserId()}"
    rows = {
        kind: conn.getQueryService().projection(f"select count(o.id) from {kind} o {where}", None, conn.SERVICE_OPTS)
        for kind in kinds
    }
    return {kind: unwrap(found)[0][0] for kind, found in rows.items()}


def derived(conn, name):
    (found,) = (plate for plate in conn.getObjects("Plate") if plate.getName() == name)
    return found
