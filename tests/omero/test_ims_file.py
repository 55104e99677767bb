"""Names and sizes of exported files."""

import pytest

from openhcs_core.omero.ims_file import file_stem, size_text


@pytest.mark.parametrize(
    ("name", "label", "stem"),
    [
        ("coli.ome.tif", "", "coli"),
        ("coli.TIFF", "C1+2 Z3", "coli C1+2 Z3"),
        ("cluster.nd2 [2]", "", "cluster.nd2 [2]"),
        ("a/../b\\c: <é> ?", "", "a_.._b_c_ _é_ _"),
        ("..", "Z1", "image Z1"),
        ("", "", "image"),
        ("new\nline", "", "new_line"),
        ("ü" * 200, "", "ü" * 50),
        ("x" * 99 + " yz", "T1", "x" * 99 + " T1"),
    ],
)
def test_names_fit_every_file_system(name, label, stem):
    assert file_stem(name, label) == stem


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (384_545, "385 kB"),
        (2_500_000_000, "2.5 GB"),
        (10**18, "1e+06 TB"),
    ],
)
def test_sizes_for_people(size, text):
    assert size_text(size) == text
