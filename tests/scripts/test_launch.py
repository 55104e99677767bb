"""IMS_Export.py by the real `omero script launch`, as people use it in a terminal."""

import numpy as np
import pytest

from bootstrap._cli import launch_outputs


@pytest.fixture
def image(omero_conn):
    planes = np.random.default_rng(4).integers(0, 4000, (6, 20, 30), "u2")
    return omero_conn.createImageFromNumpySeq(iter(planes), "cells", sizeZ=2, sizeC=3).getId()


def test_launch(cli, script, image, tmp_path):
    run = cli.run("script", "launch", str(script), f"IDs={image}", "Channels=3,1", "Last_Z=1", "Reuse_Export=false")
    assert run.returncode == 0, run.stderr
    outputs = launch_outputs(run.stdout)
    assert outputs["Export_Name"] == "cells C3+1 Z1.ims"
    assert outputs["Message"].startswith(
        f"Image:{image} (cells) exported to cells C3+1 Z1.ims, attached to the image ("
    )
    target = tmp_path / "downloaded.ims"
    download = cli.run("download", outputs["File_Annotation"], str(target))
    assert download.returncode == 0, download.stderr
    assert target.read_bytes().startswith(b"\x89HDF")


def test_launch_with_an_image_that_does_not_exist(cli, script):
    run = cli.run("script", "launch", str(script), "Image_ID=99999")
    message = "Not exported: Image:99999 does not exist, or you may not see it"
    assert launch_outputs(run.stdout) == {"Message": message}
    assert f"* {message}" in run.stdout.partition("start stderr")[2]
