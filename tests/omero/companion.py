"""An image in two TIFF files that a third file describes: more than TIFF readers know of, Bio-Formats reads it."""

import tifffile

_COMPANION = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" Name="companion">
<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="{x}" SizeY="{y}" SizeZ="1" SizeC="2" SizeT="1">
<Channel ID="Channel:0:0" SamplesPerPixel="1"/><Channel ID="Channel:0:1" SamplesPerPixel="1"/>{planes}
</Pixels></Image></OME>"""
_PLANE = """<TiffData FirstC="{c}" IFD="0" PlaneCount="1">
<UUID FileName="{name}">urn:uuid:{c}1111111-2222-3333-4444-555555555555</UUID></TiffData>"""


def write_companion(folder, array):
    """Write two channels (C, Y, X) uint16; return the path of the file that describes them."""
    names = ("first.tif", "second.tif")
    for name, plane in zip(names, array, strict=True):
        tifffile.imwrite(folder / name, plane, metadata=None)
    planes = "".join(_PLANE.format(c=c, name=name) for c, name in enumerate(names))
    path = folder / "image.companion.ome"
    path.write_text(_COMPANION.format(planes=planes, y=array.shape[1], x=array.shape[2]))
    return path


def import_companion(server, user, folder, array):
    """Import such an image for a user; return its id."""
    (result,) = server.import_files([write_companion(folder, array)], user=user.name)
    return result.image_ids[0]
