"""Preset pipelines are right by the same reading as any other text, and run."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import tifffile
from scipy import ndimage

from openhcs_core import plugins
from openhcs_core.functions import check_parameters
from openhcs_core.pipeline import GlobalPipelineConfig, pipeline_text, read_pipeline
from openhcs_core.pipeline.orchestrator import PipelineOrchestrator
from openhcs_core.plate import PlaneAddress

FLY = Path(__file__).resolve().parents[1] / "data" / "fly"
PRESETS = ("max_projection", "mosaic", "nuclei", "nuclei_and_cells", "segmentation_3d")


def test_presets_are_offered_with_a_line_for_people():
    presets = plugins.presets()
    assert set(PRESETS) <= presets.keys()
    for name in PRESETS:
        summary = presets[name].summary
        assert 20 < len(summary) < 120
        assert not summary.startswith(("#", "from"))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_read_and_their_parameters_fit(name):
    pipeline = read_pipeline(plugins.preset(name).text)
    assert read_pipeline(pipeline_text(pipeline.steps, pipeline.config)).steps == pipeline.steps
    registered = plugins.functions()
    for step in pipeline.steps:
        for spec, parameters in (call for chain in step.chains.values() for call in chain):
            assert registered[spec.name] is spec
            assert check_parameters(spec, parameters) == []


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fields of Kc167 cells in three channels, and each field once more as a second plane in z."""
    folder = tmp_path_factory.mktemp("presets") / "plate"
    folder.mkdir()
    for site, position in enumerate(("002", "076"), 1):
        for channel, stain in enumerate("DFR", 1):
            plane = tifffile.imread(FLY / f"01_POS{position}_{stain}.TIF")
            for z in (1, 2):
                tifffile.imwrite(folder / PlaneAddress("B02", site, channel, z).path, plane)
    return folder


@pytest.mark.parametrize("name", PRESETS)
def test_presets_compile_for_a_plate(name, plate):
    pipeline = read_pipeline(plugins.preset(name).text)
    assert list(PipelineOrchestrator(plate).initialize().compile_pipelines(pipeline)) == ["B02"]


def test_nuclei_and_cells_from_a_plate_to_tables(plate, tmp_path):
    pipeline = read_pipeline(plugins.preset("nuclei_and_cells").text)
    orchestrator = PipelineOrchestrator(plate, GlobalPipelineConfig(output=str(tmp_path / "results")))
    assert orchestrator.run_pipeline(pipeline).complete
    with open(tmp_path / "results" / "cell_measurements.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    planes = {}
    for path in (tmp_path / "results" / "cells").rglob("*.tif"):
        planes[PlaneAddress.from_path(path.name)] = tifffile.imread(path)
    # Cells come out of channel 2, at the place of which they are; all three channels are measured with them.
    assert planes.keys() == {PlaneAddress("B02", site, 2, z) for site in (1, 2) for z in (1, 2)}
    for address, cells in planes.items():
        for channel in (1, 2, 3):
            image = tifffile.imread(plate / address._replace(channel=channel).path)
            place = (str(address.site), str(channel), str(address.z_index))
            found = [row for row in rows if (row["Site"], row["Channel"], row["Z"]) == place]
            assert [int(row["Label"]) for row in found] == list(range(1, int(cells.max()) + 1))
            means = ndimage.mean(image.astype(float), cells, range(1, int(cells.max()) + 1))
            assert [float(row["MeanIntensity"]) for row in found] == pytest.approx(list(means))
