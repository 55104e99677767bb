"""How long OMERO waits for the parameters of a script, against an empty script.

    python bench/parse_time.py [--quick] [--json FILE]

Every parse is a fresh interpreter, as in a processor. What counts is the extra time over a script without parameters
that imports omero.scripts only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPTS = sorted(p for p in Path(__file__).parents[1].joinpath("omero_scripts").rglob("*.py") if p.stat().st_size)
EMPTY = 'import omero.scripts as scripts\nclient = scripts.client("Empty.py", "")\nclient.closeSession()\n'
PARSE = "import sys, omero.scripts; omero.scripts.parse_file(sys.argv[1])"


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder, "Empty.py")
        empty.write_text(EMPTY)
        os.environ["OMERO_TMPDIR"] = os.environ["OMERO_USERDIR"] = folder
        seconds = measure([empty, *SCRIPTS], rounds=7 if options.quick else 25)
    base = seconds[empty]
    results = [
        {"script": path.name, "ms": 1000 * value, "extra_ms": 1000 * (value - base), "ratio": value / base}
        for path, value in seconds.items()
    ]
    print(f"{'script':<28} {'time':>8} {'extra':>8} {'ratio':>6}")
    for row in results:
        print(f"{row['script']:<28} {row['ms']:>5.0f} ms {row['extra_ms']:>5.0f} ms {row['ratio']:>6.2f}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    return 0


def measure(paths: list[Path], rounds: int) -> dict[Path, float]:
    """Median seconds per script; the scripts take turns, so that a busy moment hits all of them."""
    times: dict[Path, list[float]] = {path: [] for path in paths}
    for _ in range(rounds + 1):
        for path, taken in times.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-W", "ignore", "-c", PARSE, path], check=True, stderr=subprocess.DEVNULL)
            taken.append(time.perf_counter() - start)
    return {path: statistics.median(taken[1:]) for path, taken in times.items()}


if __name__ == "__main__":
    sys.exit(main())
