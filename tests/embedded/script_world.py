"""What the scripts of omero-scripts work on: real images, ROIs on them, a plate, annotations; and how to run them."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import omero
import omero.gateway as gateway
import omero.model as model
import tifffile
from omero.rtypes import rdouble, rint, rlist, rlong, rstring, unwrap, wrap

DATA = Path(__file__).parent.parent / "data"
MOVIE = DATA / "ecoli" / "coli_nucl_ori_crop.ome.tif"
FOLDER = Path(omero.__file__).parent  # omero-scripts installs itself there
SECONDS = 60
Inputs = dict[str, Any]


@dataclass
class Run:
    """A script which has run: exit code, outputs by name, what it printed."""

    code: int
    outputs: dict[str, Any]
    stdout: str
    stderr: str

    @property
    def message(self) -> str:
        return unwrap(self.outputs["Message"])

    def file_id(self, name: str = "File_Annotation") -> int:
        return self.outputs[name].val.file.id.val


class Scripts:
    """The scripts of omero-scripts as official scripts of a server, by ``folder/name.py``."""

    def __init__(self, admin) -> None:
        self._service = admin.getScriptService()
        self._ids: dict[str, int] = {}

    def upload(self, name: str):
        """Upload a script unless it is there; answers its parameters."""
        if name not in self._ids:
            text = (FOLDER / name).read_text()
            self._ids[name] = self._service.uploadOfficialScript(f"/omero/{name}", text)
        return self._service.getParams(self._ids[name])

    def run(self, conn, name: str, inputs: dict[str, Any]) -> Run:
        """Run a script for a user to its end."""
        process = conn.getScriptService().runScript(self._ids[name], {k: _input(v) for k, v in inputs.items()}, None)
        deadline = time.monotonic() + SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.03)
        outputs = process.getResults(0)
        streams = [text(conn, outputs[s].val.id.val) if s in outputs else "" for s in ("stdout", "stderr")]
        return Run(process.poll().val, outputs, *streams)

    def remove(self) -> None:
        for id in self._ids.values():
            self._service.deleteScript(id)


def _input(value: Any):
    if isinstance(value, list) and value and isinstance(value[0], int):
        return rlist([rlong(v) for v in value])
    return wrap(value)


def content(conn, file_id: int) -> bytes:
    return b"".join(conn.getObject("OriginalFile", file_id).getFileInChunks())


def text(conn, file_id: int) -> str:
    return content(conn, file_id).decode()


def rows(data: str) -> list[list[str]]:
    """Rows of a CSV file."""
    return list(csv.reader(io.StringIO(data)))


def planes(image) -> np.ndarray:
    """All pixels of an image, axes TCZYX."""
    sizes = image.getSizeT(), image.getSizeC(), image.getSizeZ()
    wanted = [(z, c, t) for t in range(sizes[0]) for c in range(sizes[1]) for z in range(sizes[2])]
    found = np.stack(list(image.getPrimaryPixels().getPlanes(wanted)))
    return found.reshape(*sizes, *found.shape[1:])


class World:
    """Objects of one user.

    Attributes
    ----------
    project, dataset : int
    movie : int
        Image of *E. coli* in the dataset, with a pixel size of 0.5 um.
    pixels : array
        Its pixels, axes TCZYX.
    spot : int
        Image of a spot which moves along the diagonal by 10 pixels a frame.
    dna : int
        Image of one plane.
    plate : int
        Two wells with one image each, of three channels.
    plate_images : list of int
    """

    def __init__(self, server, user, conn) -> None:
        self.server, self.user, self.conn = server, user, conn
        self.pixels = tifffile.imread(MOVIE).transpose(1, 0, 2, 3, 4)
        project = model.ProjectI()
        project.name = rstring("Bacteria")
        self.project = self.save(project).id.val
        self.dataset = self.container("Movies", self.project)
        (movie,) = self._import(MOVIE, dataset=self.dataset)
        self.movie = movie.image_ids[0]
        self._set_pixel_size(self.movie)
        (dna,) = self._import(DATA / "kc167" / "dna.tif", dataset=self.dataset)
        self.dna = dna.image_ids[0]
        pattern = r"01_(?P<well>POS\d+)_(?P<channel>[DFR])\.TIF"
        plate = server.import_plate(DATA / "fly", pattern=pattern, name="Fly", user=user.name)
        self.plate, self.plate_images = plate.plate_id, plate.image_ids
        frames = np.zeros((4, 64, 64), "u1")
        for t, frame in enumerate(frames):
            frame[8 + 10 * t : 13 + 10 * t, 8 + 10 * t : 13 + 10 * t] = 200
        self.spot = self.new_image("spot", *frames, sizeT=4)

    def _import(self, path: Path, **options):
        return self.server.import_files(path, user=self.user.name, **options)

    def save(self, obj):
        return self.conn.getUpdateService().saveAndReturnObject(obj)

    def _set_pixel_size(self, image: int) -> None:
        pixels = self.conn.getQueryService().get("Pixels", self.conn.getObject("Image", image).getPixelsId())
        length = model.LengthI(0.5, model.enums.UnitsLength.MICROMETER)
        pixels.setPhysicalSizeX(length)
        pixels.setPhysicalSizeY(length)
        self.save(pixels)

    def container(self, name: str, project: int | None = None) -> int:
        """A new dataset."""
        dataset = model.DatasetI()
        dataset.name = rstring(name)
        if project is not None:
            dataset.linkProject(model.ProjectI(project, False))
        return self.save(dataset).id.val

    def image(self, id: int):
        return self.conn.getObject("Image", id)

    def new_image(self, name: str, *frames: np.ndarray, dataset: int | None = None, **sizes: int) -> int:
        """An image made through the API, of one plane or of as many as the sizes say."""
        where = self.conn.getObject("Dataset", dataset) if dataset is not None else None
        return self.conn.createImageFromNumpySeq(iter(frames), name, dataset=where, **sizes).getId()

    def parts(self, name: str) -> int:
        """A new dataset of single planes of the movie, named ``cell_C<c>_Z<z>_T0``."""
        dataset = self.container(name)
        for c, z in np.ndindex(2, 3):
            self.new_image(f"cell_C{c}_Z{z}_T0", self.pixels[0, c, z], dataset=dataset)
        return dataset

    def pair(self, name: str) -> int:
        """A new dataset of two images, a and b."""
        dataset = self.container(name)
        for image in "ab":
            self.new_image(image, np.zeros((2, 2), "u1"), dataset=dataset)
        return dataset

    def images_of(self, dataset: int) -> dict[str, int]:
        """Images of a dataset, by name."""
        return {i.getName(): i.getId() for i in self.conn.getObject("Dataset", dataset).listChildren()}

    def only_roi(self, image: int, *shapes) -> None:
        """Let the image have one ROI, of these shapes."""
        found = [r.id.val for r in self.conn.getRoiService().findByImage(image, None).rois]
        if found:
            self.conn.deleteObjects("Roi", found)
        roi = model.RoiI()
        roi.setImage(model.ImageI(image, False))
        for shape in shapes:
            roi.addShape(shape)
        self.save(roi)

    def annotate(self, kind: str, id: int, annotation) -> int:
        """Link a wrapped annotation."""
        return self.conn.getObject(kind, id).linkAnnotation(annotation).getId()

    def add_pairs(self, image: int, ns: str, **pairs: str) -> None:
        """Add key-value pairs to an image."""
        annotation = gateway.MapAnnotationWrapper(self.conn)
        annotation.setNs(ns)
        annotation.setValue(list(pairs.items()))
        self.annotate("Image", image, annotation)

    def pairs_of(self, image: int, ns: str) -> list[tuple[str, str]]:
        """Key-value pairs of an image in a namespace."""
        found = self.conn.getObject("Image", image).listAnnotations(ns=ns)
        return sorted(tuple(p) for a in found for p in a.getValue())

    def add_tag(self, image: int, name: str) -> None:
        annotation = gateway.TagAnnotationWrapper(self.conn)
        annotation.setValue(name)
        self.annotate("Image", image, annotation)

    def tags_of(self, kind: str, id: int) -> list[str]:
        found = self.conn.getObject(kind, id).listAnnotations()
        return [a.getValue() for a in found if isinstance(a, gateway.TagAnnotationWrapper)]

    def attached(self, kind: str, id: int, ns: str) -> int:
        """File of the only annotation with a namespace."""
        (annotation,) = self.conn.getObject(kind, id).listAnnotations(ns=ns)
        return annotation.getFile().getId()

    def table(self, file_id: int) -> dict[str, list]:
        """Columns of a table, by name."""
        table = self.conn.c.sf.sharedResources().openTable(model.OriginalFileI(file_id, False))
        found = table.read(range(len(table.getHeaders())), 0, table.getNumberOfRows()).columns
        table.close()
        return {c.name: c.values for c in found}

    def attach(self, kind: str, id: int, name: str, data: str, mimetype: str = "text/csv") -> int:
        """Attach a text file; answers the id of the annotation."""
        file = self.conn.createOriginalFileFromFileObj(
            io.BytesIO(data.encode()), "", name, len(data.encode()), mimetype=mimetype
        )
        annotation = gateway.FileAnnotationWrapper(self.conn)
        annotation.setFile(file)
        return self.annotate(kind, id, annotation)


JPEG = 6  # two pictures which differ less than that, on average, differ by compression
COLORS = np.array([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])


def displayed(stack: np.ndarray, planes: np.ndarray, channels: Iterable[int] = (0, 1)) -> np.ndarray:
    """Planes of some channels, shape (C, Y, X), as an image of all these pixels (TCZYX) is shown at first."""
    found = np.zeros((*planes.shape[1:], 3))
    for c in channels:
        low, high = stack[:, c].min(), stack[:, c].max()
        found += (planes[c] - float(low))[..., None] / (high - low) * 255 * COLORS[c]
    return found.clip(0, 255)


def distance(one: np.ndarray, two: np.ndarray) -> float:
    """Mean difference of two pictures of equal shape."""
    assert one.shape == two.shape
    return float(np.abs(one.astype(float) - two).mean())


def position(picture: np.ndarray, panel: np.ndarray) -> tuple[int, int]:
    """Where (x, y) a picture shows a panel; its mirror image, for comparison, must fit worse."""

    def nearest(wanted: np.ndarray) -> tuple[float, int, int]:
        height, width = wanted.shape[:2]
        thin = wanted[::3, None, ::3].astype("f4")
        found = []
        for y in range(picture.shape[0] - height + 1):
            across = np.lib.stride_tricks.sliding_window_view(picture[y : y + height : 3].astype("f4"), width, axis=1)
            differences = np.abs(across[..., ::3].swapaxes(2, 3) - thin).mean(axis=(0, 2, 3))
            found.append((float(differences.min()), int(differences.argmin()), y))
        return min(found)

    found, x, y = nearest(panel)
    assert found < JPEG
    assert 1.5 * found < nearest(panel[:, ::-1])[0]
    return x, y


def rectangle(x, y, width, height, z=None, t=None, label=None):
    shape = model.RectangleI()
    shape.width, shape.height = rdouble(width), rdouble(height)
    return _placed(shape, z, t, label, x=x, y=y)


def line(x1, y1, x2, y2, z=None, t=None):
    return _placed(model.LineI(), z, t, x1=x1, y1=y1, x2=x2, y2=y2)


def ellipse(x, y, rx, ry, z=None, t=None):
    return _placed(model.EllipseI(), z, t, x=x, y=y, radiusX=rx, radiusY=ry)


def points(cls, corners: Iterable[tuple[float, float]], z=None, t=None):
    shape = cls()
    shape.points = rstring(" ".join(f"{x},{y}" for x, y in corners))
    return _placed(shape, z, t)


def _placed(shape, z, t, label=None, **values):
    for name, value in values.items():
        setattr(shape, name, rdouble(value))
    shape.theZ, shape.theT = (None if v is None else rint(v) for v in (z, t))
    shape.textValue = None if label is None else rstring(label)
    return shape
