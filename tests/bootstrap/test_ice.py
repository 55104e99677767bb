"""Providing zeroc-ice: the patch, the compatibility header, the choice of a wheel, the messages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from bootstrap import _prerequisites
from bootstrap._console import SetupError
from bootstrap.ice import build, provide

PYTHON = Path(sys.executable)


def test_ice_py_is_patched_to_do_without_imp(tmp_path):
    ice_py = tmp_path / "Ice.py"
    ice_py.write_text(
        "import sys, string, imp, os, threading, warnings, datetime\n"
        "def createModule(curr):\n"
        "    nmod = imp.new_module(curr)\n"
        "    return nmod\n"
    )
    build.patch_ice_py(ice_py)
    code = f"import sys; sys.modules['imp'] = None; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "import Ice; print(Ice.createModule('Demo').__name__)"
    result = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "Demo\n"


def test_another_ice_py_is_refused_and_left_alone(tmp_path):
    ice_py = tmp_path / "Ice.py"
    ice_py.write_text("import sys\n")
    with pytest.raises(ValueError, match=r"zeroc-ice 3\.6\.5"):
        build.patch_ice_py(ice_py)
    assert ice_py.read_text() == "import sys\n"


def test_header_makes_what_ice_uses_compile(tmp_path):
    """The constructs of Ice's sources which newer Pythons broke, compiled as the build does it."""
    source = tmp_path / "uses.cpp"
    source.write_text(
        "#include <Python.h>\n#include <eval.h>\n"
        "PyObject* frame() { PyFrameObject* f = PyThreadState_GET()->frame; return (PyObject*)f; }\n"
        "PyObject* call(PyObject* f, PyObject* a) { return PyEval_CallObject(f, a); }\n"
        "int read(PyObject* o, const void** b, Py_ssize_t* n) { return PyObject_AsReadBuffer(o, b, n); }\n"
    )
    commands = _prerequisites.compilers()
    assert commands is not None
    flags = ["-w", "-fsyntax-only", f"-I{sysconfig.get_path('include')}", f"-I{build.COMPAT}"]
    forced = ["-include", build.COMPAT / "ice_compat.h"]
    result = subprocess.run([*commands["CXX"].split(), *flags, *forced, source], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_this_machine_has_what_ice_needs():
    assert _prerequisites.missing_for_ice() == []


def test_missing_compiler_is_named_by_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: "no-such-compiler -pthread")
    with pytest.raises(SetupError, match=r"(?s)C\+\+ compiler.*apt-get install g\+\+\n.*dnf install gcc-c\+\+\n"):
        build.build_wheel(PYTHON, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_compiler_does_not_hide_missing_headers(monkeypatch, tmp_path):
    monkeypatch.setattr(_prerequisites, "compilers", lambda: None)
    monkeypatch.setattr(_prerequisites, "HEADERS", {"no/such.h": _prerequisites.HEADERS["bzlib.h"]})
    with pytest.raises(SetupError, match=r"apt-get install g\+\+ libbz2-dev\n"):
        _prerequisites.require(_prerequisites.missing_for_ice())


def test_missing_headers_are_named_together(monkeypatch, tmp_path):
    """A compiler that finds no header except Python's: both packages in one message."""
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\nread line\ncase $line in *Python.h*) exit 0;; esac\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(SetupError) as error:
        _prerequisites.require(_prerequisites.missing_for_ice())
    assert "apt-get install libssl-dev libbz2-dev\n" in str(error.value)
    assert "dnf install openssl-devel bzip2-devel\n" in str(error.value)
    assert "Python.h" not in str(error.value)


def test_packages_of_python_carry_its_version():
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert _prerequisites.HEADERS["Python.h"].debian == f"python{version}-dev"
    assert _prerequisites.VENV.debian == f"python{version}-venv"


@pytest.fixture(scope="module")
def bare_venv(tmp_path_factory):
    """An interpreter without Ice, and with the pip of this environment."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", folder], check=True)
    site = subprocess.run(
        [folder / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    import pip

    shutil.copytree(Path(pip.__file__).parent, Path(site) / "pip")
    return folder / "bin" / "python"


def make_wheel(folder: Path, body: str) -> Path:
    """Write a wheel named zeroc-ice 3.6.5, whose module Ice consists of `body`."""
    info = "zeroc_ice-3.6.5.dist-info"
    wheel = folder / "zeroc_ice-3.6.5-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("Ice.py", body)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: zeroc-ice\nVersion: 3.6.5\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"Ice.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return wheel


WORKING = "class initialize:\n    def destroy(self): pass\nORIGIN = {!r}\n"
BROKEN = "raise ImportError('libssl.so.1.1 is not there')\n"


def origin(python: Path) -> str:
    """Return which wheel the installed Ice is from."""
    command = [python, "-c", "import Ice; print(Ice.ORIGIN)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def places(monkeypatch, tmp_path, bare_venv):
    """Folders that stand for the cache and the package index, and a build that says when it is asked."""
    cache, index = tmp_path / "cache" / "wheels", tmp_path / "index"
    cache.mkdir(parents=True)
    index.mkdir()
    monkeypatch.setenv("OPENHCS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setattr(provide, "build_wheel", lambda python, folder: make_wheel(folder, WORKING.format("built")))
    yield cache, index
    subprocess.run([bare_venv, "-m", "pip", "uninstall", "-qy", "zeroc-ice"], check=True)


def test_a_kept_wheel_comes_before_an_offered_one(places, bare_venv):
    cache, index = places
    make_wheel(cache, WORKING.format("kept"))
    make_wheel(index, WORKING.format("offered"))
    provide.ensure_ice(bare_venv)
    assert origin(bare_venv) == "kept"


def test_an_offered_wheel_comes_before_building_and_is_kept(places, bare_venv):
    cache, index = places
    make_wheel(index, WORKING.format("offered"))
    provide.ensure_ice(bare_venv)
    assert origin(bare_venv) == "offered"
    assert [wheel.name for wheel in cache.iterdir()] == ["zeroc_ice-3.6.5-py3-none-any.whl"]


def test_a_kept_wheel_that_does_not_work_here_is_replaced(places, bare_venv, capsys):
    cache, _ = places
    make_wheel(cache, BROKEN)
    provide.ensure_ice(bare_venv)
    assert origin(bare_venv) == "built"
    assert "does not work on this machine" in capsys.readouterr().out
    with zipfile.ZipFile(cache / "zeroc_ice-3.6.5-py3-none-any.whl") as kept:
        assert b"built" in kept.read("Ice.py")


def test_what_works_already_is_left_alone(places, bare_venv, monkeypatch):
    provide.ensure_ice(bare_venv)
    assert origin(bare_venv) == "built"
    monkeypatch.setattr(provide, "cache_dir", lambda kind: pytest.fail("nothing had to be looked for"))
    provide.ensure_ice(bare_venv)


def test_an_ice_that_never_works_is_an_error(places, bare_venv, monkeypatch):
    monkeypatch.setattr(provide, "build_wheel", lambda python, folder: make_wheel(folder, BROKEN))
    with pytest.raises(SetupError, match="To see why"):
        provide.ensure_ice(bare_venv)
    assert list(places[0].iterdir()) == []


@pytest.fixture
def extension(tmp_path):
    """The sources of a module `sample` in three C++ files."""
    module = (
        "#include <Python.h>\nint two(); int three();\n"
        'static PyModuleDef def = {PyModuleDef_HEAD_INIT, "sample"};\n'
        "PyMODINIT_FUNC PyInit_sample() {\n"
        "    PyObject* module = PyModule_Create(&def);\n"
        '    PyModule_AddIntConstant(module, "value", two() * three());\n'
        "    return module;\n}\n"
    )
    (tmp_path / "one.cpp").write_text(module)
    (tmp_path / "two.cpp").write_text("int two() { return FACTOR; }\n")
    (tmp_path / "three.cpp").write_text("int three() { return 3; }\n")
    (tmp_path / "setup.py").write_text(
        "from setuptools import setup\nfrom distutils.extension import Extension\n"
        "setup(name='sample', ext_modules=[Extension('sample', ['one.cpp', 'two.cpp', 'three.cpp'])])\n"
    )
    return tmp_path


def compile_extension(folder: Path, flags: str) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, build.COMPILE, "build_ext", "--inplace"]
    environment = {**os.environ, **(_prerequisites.compilers() or {}), "CXXFLAGS": flags}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_files_are_compiled_and_linked_and_counted(extension):
    result = compile_extension(extension, "-O0 -DFACTOR=2")
    assert result.stdout.splitlines() == [f"{count} of 3 files compiled" for count in (1, 2, 3)], result.stderr
    use = [PYTHON, "-c", "import sample; print(sample.value)"]
    assert subprocess.run(use, cwd=extension, capture_output=True, text=True, check=True).stdout == "6\n"


def test_file_that_does_not_compile_is_an_error(extension):
    result = compile_extension(extension, "-O0")
    assert result.returncode != 0
    assert "FACTOR" in result.stderr
    assert not list(extension.glob("*.so"))
