import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from openhcs_core.cli import main
from openhcs_core.imaris import check_ims
from openhcs_core.imaris.verify import read_text
from tests.imaris.images import camera

FLY = Path(__file__).parents[1] / "data" / "fly"
IMAGE = camera((2, 3, 20, 30))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with images, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", IMAGE)
    tifffile.imwrite("b.ome.tif", IMAGE, photometric="minisblack", metadata={"axes": "CZYX"})
    Path("out").mkdir()
    return tmp_path


def names(folder):
    return sorted(item.name for item in folder.iterdir())


def test_one_image(folder, capsys):
    assert (
        main(["ims-export", "b.ome.tif", "-o", "b.ims", "--voxel-size", "2", "1", "0.5", "--channels", "é", "x"]) == 0
    )
    assert "b.ims: " in capsys.readouterr().out
    assert check_ims("b.ims", source=IMAGE[None]) == []
    with h5py.File("b.ims") as file:
        section = file["DataSetInfo/Image"]
        assert [read_text(section, f"ExtMax{axis}") for axis in range(3)] == ["15.0", "20.0", "6.0"]
        assert [read_text(file[f"DataSetInfo/Channel {c}"], "Name") for c in range(2)] == ["é", "x"]


def test_options_reach_the_file(folder, capsys):
    assert (
        main(["ims-export", "a.npy", "-o", "a.ims", "--axes", "tzyx", "--preset", "uncompressed", "--threads", "1"])
        == 0
    )
    assert "note: no pixel size: 1 µm assumed" in capsys.readouterr().out
    assert check_ims("a.ims", source=IMAGE[:, None]) == []
    with h5py.File("a.ims") as file:
        assert file["DataSet/ResolutionLevel 0/TimePoint 1/Channel 0/Data"].compression is None


def test_one_file_per_channel(tmp_path):
    files = sorted(FLY.glob("01_POS002_*.TIF"))
    assert main(["ims-export", *map(str, files), "-o", str(tmp_path / "fly.ims"), "--stack", "c"]) == 0
    expected = np.stack([tifffile.imread(file) for file in files])[None, :, None]
    assert check_ims(tmp_path / "fly.ims", source=expected) == []
    with h5py.File(tmp_path / "fly.ims") as file:
        assert read_text(file["DataSetInfo/Channel 2"], "Name") == "01_POS002_R"


def test_several_images_into_a_folder(folder, capsys):
    Path("more").mkdir()
    np.save("more/a.npy", IMAGE + 1)
    Path("c.tif").write_bytes(b"no picture")
    assert main(["ims-export", "a.npy", "b.ome.tif", "more/a.npy", "c.tif", "-o", "out"]) == 1
    assert names(Path("out")) == ["a (2).ims", "a.ims", "b.ims"]
    assert check_ims("out/a (2).ims", source=IMAGE[None] + 1) == []
    said = capsys.readouterr().err
    assert "c.tif: c.tif cannot be read" in said
    assert "1 of 4 images were not exported" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.npy", "-o", "b.ims"], "b.ims exists. Give --force"),
        (["a.npy", "b.ome.tif", "-o", "x.ims"], "2 images cannot become the one file x.ims. Give a folder, or --stack"),
        (["a.npy", "b.ome.tif", "-o", "none"], "folder none does not exist"),
        (["a.npy", "-o", "x.tif"], "does not end in .ims"),
        (["a.npy", "-o", "x.ims", "--channels", "one"], "has 2 channels, but 1 are described"),
        (["b.ome.tif", "-o", "x.ims", "--series", "2"], "has no image 2; it has 1"),
        (["b.ome.tif", "-o", "x.ims", "--series", "0"], "counts from 1"),
        (["none.tif", "-o", "x.ims"], "none.tif does not exist"),
    ],
)
def test_what_makes_no_sense(arguments, message, folder, capsys):
    Path("b.ims").write_bytes(b"older")
    before = names(folder)
    assert main(["ims-export", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert names(folder) == before
    assert Path("b.ims").read_bytes() == b"older"


def test_an_existing_file_is_replaced_where_that_is_wanted(folder):
    Path("b.ims").write_bytes(b"older")
    assert main(["ims-export", "b.ome.tif", "-o", "b.ims", "--force"]) == 0
    assert check_ims("b.ims", source=IMAGE[None]) == []


def test_the_command_needs_no_omero(folder):
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['omero', 'Ice'])); from openhcs_core.cli import main; "
        "sys.exit(main(['ims-export', 'a.npy', '-o', 'a.ims']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("a.ims: ")
