"""The wheel holds what is needed to work outside the checkout, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(sysconfig.get_path("purelib"))
#: All that may be installed beside the core: its requirements, with the libraries that lie next to them.
REQUIREMENTS = ("numpy", "numpy.libs", "h5py", "h5py.libs", "pluggy", "tomli")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the project to which a plugin was added."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "project"
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
    for name in ("bootstrap", "omero_scripts", "openhcs_core", "plugins"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, tree / name, ignore=unwanted)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, tree)
    plugin = tree / "plugins" / "openhcs_sample" / "part"
    plugin.mkdir(parents=True)
    (plugin.parent / "__init__.py").write_text("VALUE = 1\n")
    (plugin / "__init__.py").write_text("VALUE = 2\n")
    (plugin / "table.json").write_text("{}\n")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, tree], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def members(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder with the wheel installed."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile", "--target", folder]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, wheel], check=True)
    return folder


def files(home: str) -> set[str]:
    """Return the files git would carry below a folder, relative to it."""
    return {
        str(path.relative_to(ROOT / home))
        for path in (ROOT / home).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def python(*folders: Path, code: str, cwd: Path) -> str:
    """Run code in an interpreter which finds only the standard library and these folders; return what it prints."""
    start = f"import sys; sys.path += {[str(folder) for folder in folders]!r}\n"
    command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", start + code]
    result = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize(
    ("home", "package"),
    [
        ("openhcs_core", "openhcs_core"),
        ("omero_scripts", "omero_scripts"),
        ("bootstrap/embedded_omero", "embedded_omero"),
        ("plugins/openhcs_backends", "openhcs_backends"),
        ("plugins/openhcs_dask", "openhcs_dask"),
        ("plugins/openhcs_functions", "openhcs_functions"),
    ],
)
def test_wheel_holds_every_file_of(members, home, package):
    expected = {f"{package}/{name}" for name in files(home)}
    assert expected
    assert {name for name in members if name.startswith(f"{package}/")} == expected


def test_wheel_holds_a_new_plugin_with_its_data(members):
    assert {name for name in members if name.startswith("openhcs_sample/")} == {
        "openhcs_sample/__init__.py",
        "openhcs_sample/part/__init__.py",
        "openhcs_sample/part/table.json",
    }


def test_wheel_holds_nothing_else(members):
    plugins = {path.parent.name for path in ROOT.glob("plugins/*/__init__.py")} | {"openhcs_sample"}
    top = {name.partition("/")[0] for name in members}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "embedded_omero",
        "omero_scripts",
        "openhcs_core",
        *plugins,
    }


def test_wheel_carries_licence_command_and_plugin(wheel, members):
    assert any(name.endswith("/LICENSE") for name in members)
    (entry_points,) = [name for name in members if name.endswith("/entry_points.txt")]
    with zipfile.ZipFile(wheel) as archive:
        listed = archive.read(entry_points).decode().splitlines()
    assert "openhcs = openhcs_core.cli:main" in listed
    assert "embedded_omero = embedded_omero.pytest_plugin" in listed  # the fixtures of pytest


def test_core_imports_with_nothing_but_its_requirements(site, tmp_path):
    bare = tmp_path / "requirements"
    bare.mkdir()
    for name in REQUIREMENTS:
        if (SITE / name).exists():
            (bare / name).symlink_to(SITE / name)
    code = "import h5py, openhcs_core, openhcs_core.imaris.writer as writer; print(writer.__file__)"
    assert Path(python(site, bare, code=code, cwd=tmp_path)).is_relative_to(site)


def test_embedded_omero_imports_outside_the_checkout(site, tmp_path):
    code = "import embedded_omero; print(embedded_omero.__file__)"
    assert Path(python(site, SITE, code=code, cwd=tmp_path)).is_relative_to(site)


def test_this_environment_finds_the_checkout_from_elsewhere(tmp_path):
    """The editable install that bootstrap/setup makes: packages are found whatever the current folder."""
    code = "import embedded_omero, openhcs_core, omero_scripts.openhcs\nprint(embedded_omero.__file__)"
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, f"run bootstrap/setup first\n{result.stderr}"
    assert Path(result.stdout.strip()).is_relative_to(ROOT)
