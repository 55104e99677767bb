"""The images in tests/data: attributed, unchanged, small; fetching others is verified."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.data import make

DATA = Path(make.HERE)
README = (DATA / "README.md").read_text(encoding="utf-8")
IMAGES = sorted(path for path in DATA.rglob("*") if path.suffix.lower() == ".tif")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_readme_gives_the_hash_of_every_image(path):
    section = README.split(f"\n## {path.parent.name}\n", 1)[1].split("\n## ", 1)[0]
    (row,) = [line for line in section.splitlines() if line.startswith(f"| `{path.name}` |")]
    assert row.rstrip(" |").endswith(sha256(path.read_bytes()))


def test_readme_lists_no_image_that_is_not_there():
    names = re.findall(r"^\| `([^`/]+\.tif)` \|", README, flags=re.MULTILINE | re.IGNORECASE)
    assert sorted(names) == sorted(path.name for path in IMAGES)


@pytest.mark.parametrize("member", make.MEMBERS.values(), ids=make.MEMBERS.keys())
def test_readme_names_everything_that_can_be_fetched(member):
    (row,) = [line for line in README.splitlines() if f"`{member.path}`" in line]
    assert row.rstrip(" |").endswith(member.sha256)


def test_licence_texts_lie_beside_the_images():
    named = set(re.findall(r"`(licenses/[^`]+\.txt)`", README))
    assert named == {str(path.relative_to(DATA)) for path in (DATA / "licenses").iterdir()}
    for name in named:
        assert "Redistribution and use in source and binary forms" in (DATA / name).read_text(encoding="utf-8")


def test_what_the_project_carries_is_small():
    assert sum(path.stat().st_size for path in IMAGES) < 3_000_000


def test_crop_of_the_time_lapse_is_a_5d_ome_tiff():
    with tifffile.TiffFile(DATA / "ecoli" / "coli_nucl_ori_crop.ome.tif") as tiff:
        (series,) = tiff.series
        assert tiff.is_ome
        assert (series.axes, series.shape, series.dtype) == ("CTZYX", (2, 4, 5, 96, 96), np.dtype("uint16"))
        assert series.asarray().max() > 100


def test_making_the_images_reproduces_them(tmp_path, monkeypatch):
    """From stand-ins for the originals which hold the committed pixels where the crops are taken."""
    originals = {}
    for path in (DATA / "fly").iterdir():
        plane = np.zeros((1006, 1000), np.uint8)
        plane[make.FLY_CROP] = tifffile.imread(path)
        originals[path.name] = plane
    movie = np.zeros((2, 20, 11, 200, 200), np.uint16)
    movie[make.ECOLI_CROP] = tifffile.imread(DATA / "ecoli" / "coli_nucl_ori_crop.ome.tif")
    originals["coli_nucl_ori_3d.tif"] = movie
    folder = tmp_path / "originals"
    folder.mkdir()
    for name, pixels in originals.items():
        tifffile.imwrite(folder / name, pixels, photometric="minisblack")
    for name in make.KC167_HASHES:
        (folder / name).write_bytes((DATA / "kc167" / name).read_bytes())
    monkeypatch.setattr(make, "fetch", lambda name: folder / name)

    written = make.make(tmp_path / "made")

    assert sorted(path.name for path in written) == sorted(path.name for path in IMAGES)
    for path in written:
        assert path.read_bytes() == (DATA / path.relative_to(tmp_path / "made")).read_bytes(), path.name


@pytest.fixture
def sample(monkeypatch, tmp_path):
    """A package index of one wheel with one file, known to `make` as "sample.txt"; the cache is empty."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "sample-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("sample/sample.txt", "content")
        archive.writestr("sample-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n")
        archive.writestr("sample-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("sample-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("OPENHCS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    archive = make.Archive("sample==1.0", sdist=False, sha256=sha256(wheel.read_bytes()))
    return make.Member(archive, "sample/sample.txt", sha256(b"content"))


def test_fetch_verifies_and_keeps(sample, monkeypatch):
    monkeypatch.setitem(make.MEMBERS, "sample.txt", sample)
    kept = make.fetch("sample.txt")
    assert kept.read_text() == "content"
    monkeypatch.setattr(make, "_download", lambda *args: pytest.fail("it is in the cache"))
    assert make.fetch("sample.txt") == kept


def test_fetch_replaces_a_damaged_file_in_the_cache(sample, monkeypatch):
    monkeypatch.setitem(make.MEMBERS, "sample.txt", sample)
    make.fetch("sample.txt").write_text("damaged")
    assert make.fetch("sample.txt").read_text() == "content"


@pytest.mark.parametrize("what", ["archive", "member"])
def test_fetch_refuses_what_is_not_expected(sample, monkeypatch, what):
    archive, member = sample.archive, sample
    if what == "archive":
        archive = make.Archive(archive.requirement, archive.sdist, "0" * 64)
    else:
        member = make.Member(archive, sample.path, "0" * 64)
    monkeypatch.setitem(make.MEMBERS, "sample.txt", make.Member(archive, member.path, member.sha256))
    with pytest.raises(RuntimeError, match="not the file that was expected"):
        make.fetch("sample.txt")
    assert list(make.cache_dir("data").iterdir()) == []


def test_fetch_says_what_to_do_without_a_network(sample, monkeypatch):
    monkeypatch.setitem(make.MEMBERS, "sample.txt", sample)
    monkeypatch.delenv("PIP_FIND_LINKS")
    with pytest.raises(RuntimeError, match=r"Cannot fetch sample==1\.0; check the network"):
        make.fetch("sample.txt")
