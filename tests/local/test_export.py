import os
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr

from openhcs_core.imaris import ImsError, check_ims
from openhcs_core.imaris.verify import stored_text
from openhcs_core.local import LocalError, export_image, open_image
from tests.imaris.images import camera

IMAGE = camera((3, 2, 12, 150, 140))


def saved(path, image=IMAGE, **options):
    tifffile.imwrite(path, image, photometric="minisblack", metadata={"axes": "TCZYX"}, compression="zlib", **options)
    return path


def names(folder):
    return sorted(item.name for item in folder.iterdir())


@pytest.mark.parametrize("kind", ["tif", "npy", "zarr"])
def test_every_format(kind, tmp_path):
    path = tmp_path / f"a.{kind}"
    if kind == "tif":
        saved(path, tile=(64, 64))
    elif kind == "npy":
        np.save(path, IMAGE)
    else:
        zarr.save_array(path, IMAGE)
    with open_image(path) as image:
        assert any("no pixel size" in note for note in export_image(image, tmp_path / "a.ims"))
    assert check_ims(tmp_path / "a.ims", source=IMAGE) == []
    assert stored_text(tmp_path / "a.ims", "Source", "File") == str(path)
    assert names(tmp_path) == sorted(["a.ims", path.name])


def rewritten(path):
    saved(path, IMAGE + 1)


def touched(path):
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rewritten, "changed|damaged"),
        (touched, "has changed while it was read"),
        (os.unlink, "cannot be found any more"),
    ],
)
@pytest.mark.parametrize("before", [False, True])
def test_a_source_that_changes_or_vanishes_leaves_nothing(change, message, before, tmp_path):
    path = saved(tmp_path / "a.tif")
    target = tmp_path / "out" / "a.ims"
    target.parent.mkdir()
    if before:
        target.write_bytes(b"older")

    with open_image(path) as image:

        def read(t, c, *region):
            if (t, c) == (1, 1):
                if region[::2] == (0, 0):
                    change(path)
                return IMAGE[t, c, region[0] : region[1], region[2] : region[3]]
            return image.read(t, c, *region)

        with pytest.raises(LocalError, match=message):
            export_image(replace(image, read=read), target)
    assert names(target.parent) == (["a.ims"] if before else [])
    assert not before or target.read_bytes() == b"older"


def test_a_damaged_source_leaves_nothing(tmp_path):
    path = saved(tmp_path / "a.tif")
    with tifffile.TiffFile(path) as file:
        offset = file.pages[40].dataoffsets[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(30))
    with open_image(path) as image, pytest.raises(LocalError, match="damaged at T2 C2 Z5"):
        export_image(image, tmp_path / "a.ims")
    assert names(tmp_path) == ["a.tif"]


def interrupted(path, target, error, after):
    """An export whose source fails once `after` volumes were read."""
    with open_image(path) as image:
        seen = []

        def read(t, c, *region):
            seen.append((t, c))
            if len(set(seen)) > after:
                raise error
            return image.read(t, c, *region)

        return export_image(replace(image, read=read), target)


def test_an_export_goes_on_unless_its_source_has_changed(tmp_path):
    path = saved(tmp_path / "a.tif")
    with pytest.raises(LocalError, match="cannot be read any more: Stale file handle.* kept beside a.ims"):
        interrupted(path, tmp_path / "a.ims", OSError(116, "Stale file handle"), 4)
    assert names(tmp_path) == ["a.ims.part", "a.ims.part.journal", "a.tif"]
    with pytest.raises(KeyboardInterrupt):
        interrupted(path, tmp_path / "a.ims", KeyboardInterrupt(), 1)
    rewritten(path)
    with open_image(path) as image:
        export_image(image, tmp_path / "a.ims")
    assert check_ims(tmp_path / "a.ims", source=IMAGE + 1) == []
    assert names(tmp_path) == ["a.ims", "a.tif"]


def test_what_cannot_become_an_imaris_file(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4), complex))
    with open_image(tmp_path / "a.npy") as image, pytest.raises(ImsError, match="complex128 cannot be stored"):
        export_image(image, tmp_path / "a.ims")
    assert names(tmp_path) == ["a.npy"]


def test_each_compressed_plane_is_unpacked_once(tmp_path, monkeypatch):
    image = camera((1, 1, 40, 600, 500))
    path = saved(tmp_path / "a.tif", image, rowsperstrip=600)
    monkeypatch.setattr("openhcs_core.imaris.writer.SLAB_BYTES", 1 << 20)
    reads = []
    with open_image(path) as opened:

        def read(*region):
            reads.append(region)
            return opened.read(*region)

        export_image(replace(opened, read=read), tmp_path / "a.ims")
    assert sum((z1 - z0) * (y1 - y0) for _, _, z0, z1, y0, y1 in reads) == 40 * 600
    assert check_ims(tmp_path / "a.ims", source=image) == []
