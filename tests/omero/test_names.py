"""Names and sizes of exported files, texts for messages."""

import pytest

from openhcs_core.omero.names import file_stem, one_line, size_text, unique_name


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
        ("tab\tline\u2028turned\u202e.tif", "", "tab_line_turned_"),
        ("🔬 cells", "", "🔬 cells"),
        ("🔬" * 75, "", "🔬" * 25),
        ("a" * 300, "C1" + "+2" * 100, "a" * 100 + " C1" + "+2" * 28 + "+…"),
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


def test_names_are_used_once():
    used = set()
    for name in ("cells.ims", "CELLS.ims", "cells (2).ims", "cells.ims", "other.ims"):
        used.add(unique_name(name, used).casefold())
    assert sorted(used) == ["cells (2) (2).ims", "cells (2).ims", "cells (3).ims", "cells.ims", "other.ims"]


@pytest.mark.parametrize(
    ("text", "line"),
    [("a b", "a b"), ("a\n\tb\x00c\u202e", "a b c"), ("🔬", "🔬"), ("x" * 100, "x" * 100), ("x" * 101, "x" * 99 + "…")],
)
def test_texts_become_one_line(text, line):
    assert one_line(text) == line
