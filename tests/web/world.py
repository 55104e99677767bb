"""What was in the OMERO of which the answers were recorded: people, images, plates, scripts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import omero
import tifffile
from omero.gateway import BlitzGateway

from embedded_omero import EmbeddedOmero
from tests.embedded import images

SCRIPTS = Path(__file__).parent / "scripts"
PASSWORD = "not secret"
RA, RO, PR, RW = 3, 4, 5, 6  # ids of groups
PLATE = "plate&plates=1&plateRows=2&plateCols=2&fields=2&plateAcqs=1.fake"
PYRAMID = "pyr&sizeX=4096&sizeY=3000&resolutions=3.fake"
# Official scripts and their ids there; those below "omero" are those of omero-scripts.
MENU = {
    "/Bad_Script.py": 248, "/Good_Script.py": 246, "/Wait.py": 98, "/omero/analysis_scripts/Kymograph.py": 31,
    "/omero/export_scripts/Batch_Image_Export.py": 18, "/omero/figure_scripts/Split_View_Figure.py": 0,
}  # fmt: skip


class World:
    """A server filled with what the answers are about.

    Attributes
    ----------
    ids : dict
        Id here of a kind and an id there: ``ids["Image", 54]``.
    """

    def __init__(self, server: EmbeddedOmero, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.ids: dict[tuple[str, int], int] = {}
        self._people()
        self._images()
        self._scripts()

    def connect(self, user: str = "alice") -> BlitzGateway:
        password = self.server.password if user == self.server.user else PASSWORD
        conn = BlitzGateway(user, password, host=self.server.host, port=self.server.port)
        assert conn.connect(), conn.getLastError()
        return conn

    def import_file(self, path: Path, user: str = "alice", group: str = "ra", **where):
        (result,) = self.server.import_files(path, user=user, group=group, **where)
        return result

    def _people(self) -> None:
        core = self.server.core
        with core.store.lock:
            accounts = core.accounts
            for name, level in (("ra", "rwra--"), ("ro", "rwr---"), ("pr", "rw----"), ("rw", "rwrw--")):
                accounts.add_group(name, level)
            accounts.add_group("newgrp", "rwr---")
            groups = [accounts.group(name) for name in ("ra", "ro", "pr", "rw", "user")]
            for name in ("alice", "bob"):
                accounts.add_user(name, name.capitalize(), "Test", groups, PASSWORD)

    def _images(self) -> None:
        folder = self.folder
        five = self.import_file(images.five_d(folder)[0])
        plate = plate_file(folder)
        plates = [self.import_file(plate, **where) for where in ({}, {}, {"screen": "new screen"})]
        foreign = self.import_file(tiff(folder / "of bob.tif", images.slope(30, 20)), user="bob")
        pyramid = self.import_file(pyramid_file(folder))
        large = self.import_file(tiff(folder / "large.tif", images.slope(3500, 4000)))
        tiled = self.import_file(tiled_file(folder))
        three = self.import_file(images.three(folder)[0])
        rgb = tiff(folder / "rgb.tif", (np.arange(1800) % 256).astype("u1").reshape(20, 30, 3), photometric="rgb")
        rgb = self.import_file(rgb, dataset="new ds")
        ids = {1: five, 31: foreign, 40: pyramid, 41: large, 42: tiled, 54: rgb}
        self.ids |= {("Image", there): result.image_ids[0] for there, result in ids.items()}
        self.ids |= {("Image", 43 + n): id for n, id in enumerate(three.image_ids)}
        # There the images of plates had ids in an order of their own; these are the first of them.
        first = {1: (2, 3), 2: (32, 33, 38, 39, 34, 35, 36, 37), 3: (46, 49, 47, 48, 50, 51, 52, 53)}
        for number, result in enumerate(plates, 1):
            self.ids["Plate", number] = result.plate_id
            self.ids |= {("Image", there): id for there, id in zip(first[number], result.image_ids, strict=False)}
        core = self.server.core
        with core.store.lock:
            self.ids["Dataset", 2] = core.store.find("Dataset", name="new ds").id
            self.ids["Screen", 2] = core.store.find("Screen", name="new screen").id
            wells = {plate: self._wells(plate) for plate in (1, 2, 3)}
            runs = core.store.all("PlateAcquisition")
            self.ids |= {("PlateAcquisition", n): run.id for n, run in enumerate(runs, 1)}
        self.ids |= {("Well", 5): wells[2][0], ("Well", 10): wells[3][0]}
        conn = self.connect()
        try:
            # The images of a deleted well stay, as orphans.
            conn.deleteObjects("Well", [wells[1][0]], wait=True)
            conn.c.sf.getUpdateService().saveObject(_screen("s"))
        finally:
            conn.close()

    def _wells(self, plate: int) -> list[int]:
        """Ids of the wells of a plate, by row and column."""
        record = self.server.core.store.get("Plate", self.ids["Plate", plate])
        wells = self.server.core.store.collection(record, record.entity.fields["wells"])
        return [well.id for well in sorted(wells, key=lambda w: (w["row"], w["column"]))]

    def _scripts(self) -> None:
        conn = self.connect(self.server.user)
        try:
            service = conn.getScriptService()
            for path, there in MENU.items():
                folder = Path(omero.__file__).parents[1] if path.startswith("/omero/") else SCRIPTS
                text = (folder / path[1:]).read_text(encoding="utf-8")
                self.ids["Script", there] = service.uploadOfficialScript(path, text)
        finally:
            conn.close()


def _screen(name: str):
    from omero.model import ScreenI
    from omero.rtypes import rstring

    screen = ScreenI()
    screen.setName(rstring(name))
    return screen


def tiff(path: Path, data: np.ndarray, **options) -> Path:
    """A plain TIFF file."""
    tifffile.imwrite(path, data, **options)
    return path


def tiled_file(folder: Path) -> Path:
    path = folder / "tiled.ome.tif"
    tifffile.imwrite(path, images.slope(600, 700), tile=(256, 256), metadata={"axes": "YX"})
    return path


def pyramid_file(folder: Path) -> Path:
    """OME-TIFF with three resolutions and tiles as wide as the image."""
    path = folder / PYRAMID
    plane = (np.arange(3000)[:, None] % 256).astype("u1").repeat(4096, axis=1)
    with tifffile.TiffWriter(path, ome=True) as writer:
        options = {"photometric": "minisblack", "compression": "zlib"}
        writer.write(plane, subifds=2, metadata={"axes": "YX"}, tile=(256, 4096), **options)
        for step in (2, 4):
            writer.write(plane[::step, ::step].copy(), subfiletype=1, tile=(256, 256), **options)
    return path


def plate_file(folder: Path) -> Path:
    """OME-TIFF of a plate with 2 x 2 wells of 2 fields."""
    said, wells = [], ""
    for number in range(8):
        channel = (
            '<Channel ID="Channel:0" Name="Name" SamplesPerPixel="1" Color="1687603455" '
            'EmissionWavelength="300.3" EmissionWavelengthUnit="nm"/>'
        )
        said.append(images.ome_image(
            number, f'{channel}<TiffData IFD="{number}" PlaneCount="1"/>', sizes="512 512 1 1 1",
            name="plate" + (f" {number + 1}" if number else ""),
            more=f"<Description>Image Description {number}</Description>",
            attributes='PhysicalSizeX="1.0" PhysicalSizeY="1.0" PhysicalSizeZ="1.0"',
        ))  # fmt: skip
    for number in range(4):
        samples = "".join(
            f'<WellSample ID="WellSample:{n}" Index="{n}" PositionX="0.0" PositionXUnit="reference frame" '
            f'PositionY="1.0" PositionYUnit="reference frame" Timepoint="2006-05-04T18:13:51">'
            f'<ImageRef ID="Image:{n}"/></WellSample>'
            for n in (2 * number, 2 * number + 1)
        )
        wells += (
            f'<Well ID="Well:{number}" Row="{number // 2}" Column="{number % 2}" Type="Transfection: done" '
            f'ExternalDescription="External Description" ExternalIdentifier="External Identifier" Color="255">'
            f"{samples}</Well>"
        )
    samples = "".join(f'<WellSampleRef ID="WellSample:{n}"/>' for n in range(8))
    plate = (
        '<Plate ID="Plate:0" Name="Plate Name 0" Rows="2" Columns="2" RowNamingConvention="letter" '
        'ColumnNamingConvention="number" Status="Plate status" ExternalIdentifier="External Identifier" '
        'WellOriginX="0.0" WellOriginXUnit="µm" WellOriginY="1.0" WellOriginYUnit="µm">'
        f"<Description>Plate 0 of 1</Description>{wells}"
        '<PlateAcquisition ID="PlateAcquisition:0" Name="PlateAcquisition Name 0" StartTime="2006-05-04T18:13:51" '
        'EndTime="2006-05-04T18:13:51"><Description>PlateAcquisition 0 of 1</Description>'
        f"{samples}</PlateAcquisition></Plate>"
    )
    path = folder / PLATE
    plane = (np.arange(512 * 512) % 256).astype("u1").reshape(512, 512)
    with tifffile.TiffWriter(path) as writer:
        for number in range(8):
            text = images.ome_xml("".join(said), plate).encode() if number == 0 else None
            writer.write(plane, photometric="minisblack", description=text, metadata=None)
    return path
