"""How large the text of a pipeline is beside what a client would send that compiles by itself: pickled contexts.

Run it with ``python bench/payload.py [--quick] [--json FILE]``. A pipeline of 20 steps is compiled for plates of wells
of 4 fields, 3 channels and 5 sections; no pixel is needed. ``pickle_vs_text`` is the pickle of what
``PipelineOrchestrator.execute_compiled_plate`` takes as compiled contexts of 96 wells, plans and layout of the plate,
over the text. Beside it: the contexts without steps and layout in one pickle, where wells with the same planes share
one plan (``contexts_vs_text``), and pickled well by well, as workers are handed them (``wells_vs_text``). A pickle of
the steps alone is as large as the text (``steps_vs_text``): against that, what counts is that text can be read,
checked and refused. ``request_bytes`` is the whole request to the server.
"""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path

import numpy as np

from openhcs_core.execution.requests import Execute, request_table
from openhcs_core.pipeline import Effective, GlobalPipelineConfig, read_pipeline
from openhcs_core.pipeline.compiler import compile_pipeline
from openhcs_core.plate import PlaneAddress, PlateChannel, PlateLayout, well_name
from openhcs_core.streaming.wire import LongText

FIELDS, CHANNELS, SECTIONS = 4, ("DAPI", "GFP", "TRITC"), 5
LIMITS = {"pickle_vs_text": (10, "at least")}

TEXT = """\
from openhcs_core.pipeline import FunctionStep, StepOutput
from openhcs_functions.background import rolling_ball, subtract_percentile, white_top_hat
from openhcs_functions.channels import merge_channels
from openhcs_functions.flatfield import flat_field_smooth
from openhcs_functions.intensity import normalize_percentile
from openhcs_functions.labelling import expand_labels, fill_holes, keep_by_area, remove_border_objects
from openhcs_functions.measurement import count_objects, measure_field, measure_objects
from openhcs_functions.projection import max_projection
from openhcs_functions.segmentation import blobs
from openhcs_functions.smoothing import difference_of_gaussians, gaussian, median
from openhcs_functions.thresholds import threshold
from openhcs_functions.watershed import seeded_watershed, split_touching

flat = StepOutput("flat")
pipeline_steps = [
    FunctionStep(flat_field_smooth, name="even"),
    FunctionStep((median, {"size": 3}), name="clean"),
    FunctionStep((subtract_percentile, {"percentile": 2.0}), name="dark"),
    FunctionStep(max_projection, name="flat", save=True),
    FunctionStep(measure_field, name="fields"),
    FunctionStep((gaussian, {"sigma": 1.5}), name="soft", input_source=flat, select={"channel": [1]}),
    FunctionStep((threshold, {"method": "otsu", "factor": 0.9}), name="bright"),
    FunctionStep(fill_holes, name="filled", save=False),
    FunctionStep((split_touching, {"min_distance": 8}), name="parted", save=False),
    FunctionStep((remove_border_objects, {"margin": 2}), name="inside", save=False),
    FunctionStep((keep_by_area, {"min_area": 100, "max_area": 4000}), name="nuclei"),
    FunctionStep((expand_labels, {"distance": 5.0}), name="rings"),
    FunctionStep(
        (seeded_watershed, {"seeds": StepOutput("nuclei"), "method": "li"}),
        name="cells",
        input_source=flat,
        select={"channel": [2]},
    ),
    FunctionStep((white_top_hat, {"size": 15}), name="spotty", input_source=flat, select={"channel": [3]}),
    FunctionStep((difference_of_gaussians, {"small": 1.0, "large": 3.0}), name="sharp"),
    FunctionStep((blobs, {"diameter": 6.0, "min_area": 4}), name="spots"),
    FunctionStep(count_objects, name="spot_counts"),
    FunctionStep((measure_objects, {"labels": StepOutput("nuclei")}), name="nuclei_table", input_source=flat),
    FunctionStep((measure_objects, {"labels": StepOutput("cells")}), name="cell_table", input_source=flat),
    FunctionStep((measure_objects, {"labels": StepOutput("rings")}), name="ring_table", input_source=flat),
]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without the plate of 384 wells")
    parser.add_argument("--json", type=Path, help="write the figures here, for machines")
    args = parser.parse_args()
    figures = sizes(96)
    for wells in (8,) if args.quick else (8, 384):
        figures |= {f"{name}_{wells}_wells": value for name, value in sizes(wells).items() if "_vs_" in name}
    for name, value in figures.items():
        limit, word = LIMITS.get(name, (None, ""))
        print(f"{name:28} {value:12.2f}" + (f"   {word} {limit}" if limit else ""))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


def sizes(wells: int) -> dict[str, float]:
    """Bytes of everything for a plate with so many wells, and what they are as multiples of the text."""
    pipeline = read_pipeline(TEXT)
    assert len(pipeline.steps) == 20
    config = Effective(GlobalPipelineConfig, [])
    compiled = compile_pipeline(layout_of(wells), pipeline.steps, config, available=1 << 40)
    request = Execute(session="0" * 36, plate_id=1, pipeline_code=LongText(TEXT), request_key="0" * 32)
    text = len(TEXT.encode())
    pickles = {
        "pickle": pickled(compiled),
        "contexts": pickled(compiled.contexts),
        "wells": sum(pickled(context) for context in compiled.contexts.values()),
        "steps": pickled(pipeline.steps),
    }
    figures: dict[str, float] = {f"{name}_vs_text": size / text for name, size in pickles.items()}
    figures |= {"text_bytes": text, "request_bytes": len(json.dumps(request_table(request)))}
    return figures | {f"{name}_bytes": size for name, size in pickles.items()}


def pickled(item: object) -> int:
    """Bytes of a pickle."""
    return len(pickle.dumps(item, pickle.HIGHEST_PROTOCOL))


def layout_of(wells: int) -> PlateLayout:
    """A plate with the first so many wells, row by row."""
    columns = 12 if wells <= 96 else 24
    names = [well_name(*divmod(number, columns)) for number in range(wells)]
    planes = {
        well: [
            PlaneAddress(well, field + 1, channel + 1, section + 1)
            for field in range(FIELDS)
            for channel in range(len(CHANNELS))
            for section in range(SECTIONS)
        ]
        for well in names
    }
    return PlateLayout("plate", planes, (1024, 1024), np.dtype("uint16"), tuple(map(PlateChannel, CHANNELS)))


if __name__ == "__main__":
    main()
