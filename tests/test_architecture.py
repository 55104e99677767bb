"""Imports run one way: scripts, plugins and bootstrap use the core; the core knows none of them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "openhcs_core"
SCRIPTS = sorted(path for path in (ROOT / "omero_scripts").rglob("*.py") if path.stat().st_size)
PLUGINS = tuple(path.parent.name for path in ROOT.glob("plugins/*/__init__.py"))
#: Packages of OMERO and Ice that only openhcs_core.omero may name.
OMERO = ("omero", "Ice", "IcePy", "Glacier2", "omero_model_")
#: What the rooms of the core may know of each other. Modules beside the rooms (errors, plate, settings ...) are free.
ROOMS = {
    "execution": {"omero", "pipeline", "streaming"},
    "imaris": set(),
    "local": {"imaris"},
    "omero": {"imaris", "local", "pipeline", "storage", "streaming"},
    "pipeline": {"storage", "streaming"},
    "storage": set(),
    "streaming": set(),
}
#: Not needed to import the core; whatever is heavy, optional, or not to be had everywhere.
OPTIONAL = (
    *OMERO,
    *("celery", "cupy", "dask", "distributed", "django", "imagej", "isal", "jpype", "napari", "numba", "omeroweb"),
    *("PIL", "qtpy", "rich", "scyjava", "skimage", "tifffile", "zlib_ng"),
)
#: What OMERO must not have to wait for when it only reads the parameters of a script.
HEAVY = ("cupy", "dask", "h5py", "jpype", "napari", "numpy", "scipy", "skimage", "tifffile", "zarr", "zmq")


@dataclass(frozen=True)
class Import:
    """One module that a file imports, absolute, and whether this happens as soon as the file is imported."""

    module: str
    line: int
    at_import: bool


def imports(path: Path) -> Iterator[Import]:
    """Yield what a file imports anywhere, relative imports resolved; `from a import b` counts as `a` and `a.b`."""
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
    pending = [(node, True) for node in ast.parse(path.read_bytes()).body]
    while pending:
        node, at_import = pending.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, at_import)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if node.level else []
            base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            yield Import(base, node.lineno, at_import)
            for alias in node.names:
                yield Import(f"{base}.{alias.name}", node.lineno, at_import)
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            pending += [(child, False) for child in ast.iter_child_nodes(node)]
        else:
            inside = at_import and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            pending += [(child, inside) for child in ast.iter_child_nodes(node)]


def is_in(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def breaches(paths: Iterator[Path], *forbidden: str) -> list[str]:
    """Return "file:line imports module" for each import of one of the forbidden packages."""
    return [
        f"{path.relative_to(ROOT)}:{found.line} imports {found.module}"
        for path in paths
        for found in imports(path)
        if is_in(found.module, *forbidden)
    ]


def test_the_core_knows_nothing_of_what_is_built_on_it():
    above = ("bootstrap", "embedded_omero", "omero_scripts", "plugins", "tests", *PLUGINS)
    assert breaches(CORE.rglob("*.py"), *above) == []


def test_only_one_room_talks_to_omero():
    others = (path for path in CORE.rglob("*.py") if not path.is_relative_to(CORE / "omero"))
    assert breaches(others, *OMERO) == []


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_keep_to_their_arrows(room):
    present = {path.name for path in CORE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert present <= ROOMS.keys(), "a new room: say in ROOMS what it may know"
    forbidden = [f"openhcs_core.{other}" for other in ROOMS if other != room and other not in ROOMS[room]]
    assert breaches((CORE / room).rglob("*.py"), *forbidden, "openhcs_core.cli") == []


def test_embedded_omero_stands_on_its_own():
    """A double of the server must not share code with what is tested against it."""
    files = (ROOT / "bootstrap" / "embedded_omero").rglob("*.py")
    assert breaches(files, "openhcs_core", "omero_scripts", "tests", *PLUGINS) == []


def test_every_file_in_the_menu_is_a_script():
    """OMERO shows every non-empty Python file there to its users."""
    assert SCRIPTS
    for path in SCRIPTS:
        nodes = ast.walk(ast.parse(path.read_bytes()))
        calls = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
        assert {"scripts.client", "omero.scripts.client", "client"} & calls, f"{path.name} is no script"


def test_scripts_import_at_most_one_module_of_the_core_before_their_parameters():
    for path in SCRIPTS:
        at_import = {found.module for found in imports(path) if found.at_import}
        foreign = {name for name in at_import if name.partition(".")[0] not in {*sys.stdlib_module_names, "omero"}}
        assert all(is_in(name, "openhcs_core") for name in foreign), f"{path.name} imports {sorted(foreign)}"
        modules = {name for name in foreign if ROOT.joinpath(*name.split(".")).with_suffix(".py").is_file()}
        assert len(modules) <= 1, f"{path.name} imports {sorted(modules)}"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_imports_before_its_parameters_is_light(path):
    code = f"import runpy, sys; runpy.run_path({str(path)!r}, run_name='script')\n"
    assert run_python(code + f"print(*sorted({set(HEAVY)!r} & set(sys.modules)))") == ""


def test_the_core_imports_without_anything_optional():
    """All but the room of OMERO, each optional package being absent."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(CORE.rglob("*.py"))
        if not path.is_relative_to(CORE / "omero") and path.name != "__main__.py"
    ]
    code = f"import importlib, sys\nsys.modules.update(dict.fromkeys({OPTIONAL!r}))\n"
    code += f"for name in {modules!r}: importlib.import_module(name)\nprint(len({modules!r}))"
    assert run_python(code) == str(len(modules))


def run_python(code: str) -> str:
    """Run code in a fresh interpreter with the checkout on its path; return what it prints."""
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()
