"""Plugins: real packages with entry points in metadata of their own, whole ones and broken ones."""

from __future__ import annotations

import ast
import inspect
import logging
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from openhcs_core import hookspecs, plugins
from openhcs_core.hookspecs import BackendSpec, hookimpl
from openhcs_core.plugins import PluginError, PluginRegistry

DOCS = Path(__file__).resolve().parents[1] / "docs" / "plugin-hooks.md"
BACKEND = """
from openhcs_core.hookspecs import BackendSpec, hookimpl

@hookimpl
def openhcs_backends():
    return [BackendSpec("{name}", "A place", lambda: None)]
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Write a plugin: a module, and the metadata of a distribution with its entry point."""
    written: list[str] = []

    def write(name: str, source: str, *, distribution: str = "", folder: str = "site") -> None:
        home = tmp_path / folder
        info = home / f"{(distribution or name).replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (home / f"{name}.py").write_text(textwrap.dedent(source))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution or name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[openhcs_omero]\n{name} = {name}\n")
        written.append(name)
        monkeypatch.syspath_prepend(str(home))

    plugins.registry.cache_clear()
    yield write
    plugins.registry.cache_clear()
    for name in written:
        sys.modules.pop(name, None)


def test_everything_here_works():
    """The plugins of this distribution, as installed."""
    rows = {row.name: row for row in plugins.plugin_rows()}
    assert {"openhcs_core", "openhcs_functions", "openhcs_backends", "openhcs_dask"} <= rows.keys()
    assert [row for row in rows.values() if row.state != "loaded"] == []
    assert {"backend memory", "executor processes"} <= set(rows["openhcs_core"].offers)
    assert "function openhcs_functions.smoothing.gaussian" in rows["openhcs_functions"].offers
    assert "preset nuclei" in rows["openhcs_functions"].offers
    assert next(iter(plugins.plugin_rows())).name == "openhcs_core"


def test_what_the_core_offers_can_be_made():
    assert plugins.backend("memory").factory().name == "memory"
    with plugins.executor("processes").factory(1, None) as executor:
        assert executor is not None


def test_a_plugin_offers_all_kinds(install, tmp_path):
    preset = tmp_path / "spots.py"
    preset.write_text("# Ä\npipeline_steps = []\n", encoding="utf-8")
    install(
        "plugin_of_all_kinds",
        f"""
        from pathlib import Path
        from openhcs_core.functions import processing_function
        from openhcs_core.hookspecs import BackendSpec, CommandSpec, ExecutorSpec, PresetSpec, ViewerSpec, hookimpl

        @processing_function()
        def invert(image):
            "The negative."
            return image.max() - image

        @hookimpl
        def openhcs_functions():
            return [invert]

        @hookimpl
        def openhcs_backends():
            return (BackendSpec("tape", "Planes on tape", lambda: "a tape"),)

        @hookimpl
        def openhcs_executors():
            yield ExecutorSpec("grid", "Wells as jobs", lambda workers, address: (workers, address))

        @hookimpl
        def openhcs_presets():
            return [PresetSpec("spots", "Count spots", Path({str(preset)!r}))]

        @hookimpl
        def openhcs_commands():
            return [CommandSpec("rewind", "Rewind the tape", lambda parser: None)]

        @hookimpl
        def openhcs_viewers():
            return [ViewerSpec("vaa3d", "Vaa3D", 5575, "openhcs_vaa3d", lambda: "not installed")]
        """,
    )
    assert plugins.function("plugin_of_all_kinds.invert").summary == "The negative."
    assert plugins.backend("tape").factory() == "a tape"
    assert plugins.executor("grid").factory(2, "there") == (2, "there")
    assert plugins.preset("spots").text == "# Ä\npipeline_steps = []\n"
    (row,) = (row for row in plugins.plugin_rows() if row.name == "plugin_of_all_kinds")
    assert (row.source, row.state) == ("plugin_of_all_kinds 1.0", "loaded")
    assert plugins.commands()["rewind"].help == "Rewind the tape"
    assert plugins.viewer("vaa3d").missing() == "not installed"
    assert row.offers == (
        *("backend tape", "command rewind", "executor grid", "function plugin_of_all_kinds.invert", "preset spots"),
        "viewer vaa3d",
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("x = 1", "it implements no hook"),
        (
            "from openhcs_core.hookspecs import hookimpl\n@hookimpl\ndef openhcs_backend(): return []",
            "openhcs_backend.*Hooks: openhcs_backends, openhcs_commands, openhcs_executors, openhcs_functions",
        ),
        (
            "from openhcs_core.hookspecs import hookimpl\n@hookimpl\ndef openhcs_backends(wanted): return []",
            "PluginValidationError.*wanted",
        ),
    ],
)
def test_a_broken_plugin_is_a_warning_with_its_reason(install, caplog, source, reason):
    install("plugin_broken", source)
    install("plugin_whole", BACKEND.format(name="whole"))
    with caplog.at_level(logging.WARNING):
        assert "whole" in plugins.backends()
    assert re.search(rf"'plugin_broken' \(plugin_broken 1.0\): .*{reason}", caplog.text, re.DOTALL)
    assert re.search(reason, plugins.problems()["plugin_broken"], re.DOTALL)
    with pytest.raises(PluginError, match=re.compile(rf"'plugin_broken' is left out.*{reason}", re.DOTALL)):
        plugins.backend("wolhe")
    assert {row.name: row.state for row in plugins.plugin_rows()}["plugin_broken"] == "broken"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("None", "openhcs_backends: TypeError"),
        ("['tape']", "openhcs_backends: TypeError: 'tape' is no BackendSpec"),
        ("1 / 0", "openhcs_backends: ZeroDivisionError"),
    ],
)
def test_a_hook_with_a_wrong_answer_is_left_out_and_the_others_stay(install, answer, reason):
    install(
        "plugin_half",
        f"""
        from openhcs_core.hookspecs import ExecutorSpec, hookimpl

        @hookimpl
        def openhcs_backends():
            return {answer}

        @hookimpl
        def openhcs_executors():
            return [ExecutorSpec("grid", "", print)]
        """,
    )
    assert "memory" in plugins.backends()
    assert "grid" in plugins.executors()
    assert reason in plugins.problems()["plugin_half"]
    (row,) = (row for row in plugins.plugin_rows() if row.name == "plugin_half")
    assert (row.state, row.offers) == ("broken", ("executor grid",))


def test_a_function_that_is_not_declared_says_what_to_do(install):
    install(
        "plugin_undeclared",
        """
        from openhcs_core.hookspecs import hookimpl

        def invert(image):
            return -image

        @hookimpl
        def openhcs_functions():
            return [invert]
        """,
    )
    with pytest.raises(PluginError, match="invert is no processing function. Declare it with @processing_function"):
        plugins.function("plugin_undeclared.invert")


def test_the_same_name_twice_names_both_sources(install, caplog):
    install("plugin_a", BACKEND.format(name="tape"), distribution="first-tapes")
    install("plugin_b", BACKEND.format(name="tape"), distribution="second-tapes")
    with caplog.at_level(logging.WARNING):
        chosen = plugins.backend("tape")
        plugins.backend("tape")
    assert chosen.factory.__module__ == "plugin_a"
    assert caplog.text.count("'tape' is offered") == 1
    assert "'plugin_b' (second-tapes 1.0)" in caplog.text
    assert "by 'plugin_a' (first-tapes 1.0), too; the first counts" in caplog.text


def test_a_plugin_cannot_take_the_place_of_the_core(install):
    install("a_memory", BACKEND.format(name="memory"))
    assert plugins.backend("memory").factory().name == "memory"
    assert "offered by 'openhcs_core'" in plugins.problems()["a_memory"]


def test_two_plugins_of_one_name_are_both_named(install, tmp_path, monkeypatch):
    install("plugin_one", BACKEND.format(name="one"), distribution="ones")
    other = tmp_path / "site" / "twos-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: twos\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[openhcs_omero]\nplugin_one = json\n")
    found = PluginRegistry([entry for entry in entry_points(group="openhcs_omero") if entry.name == "plugin_one"])
    ((name, reason),) = found.problems.items()
    assert {name.partition(" of ")[2].split()[0], reason.split()[0]} == {"ones", "twos"}


def test_metadata_left_behind_counts_once(install, tmp_path):
    """An old egg-info folder, found elsewhere on the path and under a name that pip has since normalised."""
    install("plugin_moved", BACKEND.format(name="moved"), distribution="my-plugin")
    stale = tmp_path / "old" / "MyPlugin.egg-info"
    stale.mkdir(parents=True)
    (stale / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: MyPlugin\nVersion: 0.9\n")
    (stale / "entry_points.txt").write_text("[openhcs_omero]\nplugin_moved = plugin_moved\n")
    install("plugin_elsewhere", BACKEND.format(name="elsewhere"), folder="old")
    assert len([entry for entry in entry_points(group="openhcs_omero") if entry.name == "plugin_moved"]) == 2
    assert "moved" in plugins.backends()
    assert plugins.problems() == {}


@pytest.mark.parametrize("how", ["environment", "setting"])
def test_a_blocked_plugin_is_not_even_imported(install, monkeypatch, tmp_path, how):
    install("plugin_unwanted", "raise AssertionError('imported')")
    if how == "environment":
        monkeypatch.setenv("OPENHCS_BLOCK_PLUGINS", "something_else, plugin_unwanted")
    else:
        (tmp_path / "openhcs.toml").write_text('block_plugins = ["plugin_unwanted"]')
        monkeypatch.setenv("OPENHCS_CONFIG", str(tmp_path / "openhcs.toml"))
    assert "memory" in plugins.backends()
    assert plugins.problems() == {}
    assert "plugin_unwanted" not in sys.modules
    (row,) = (row for row in plugins.plugin_rows() if row.name == "plugin_unwanted")
    assert (row.state, row.reason) == ("blocked", "it is on the list of blocked plugins")
    with pytest.raises(PluginError, match="'plugin_unwanted' is left out.*blocked"):
        plugins.backend("tape")


def test_unknown_names_bring_the_known_ones_and_similar():
    with pytest.raises(PluginError, match=r"no executor 'proceses'. Did you mean 'processes'\?.*Known: .*processes"):
        plugins.executor("proceses")
    with pytest.raises(PluginError, match=r"mean 'openhcs_functions.smoothing.gaussian'"):
        plugins.function("openhcs_functions.filters.gausian")
    with pytest.raises(PluginError, match="no preset 'zzz'. Known: max_projection, "):
        plugins.preset("zzz")
    with pytest.raises(PluginError, match="Known: none"):
        PluginRegistry([]).pick("preset", {}, "nuclei")


def test_plugins_can_be_registered_while_running(install):
    class Late:
        @hookimpl
        def openhcs_backends(self):
            return [BackendSpec("late", "", object)]

    manager = plugins.get_plugin_manager()
    assert "late" not in plugins.backends()
    manager.register(Late(), "late")
    assert "late" in plugins.backends()


def test_nothing_is_loaded_before_it_is_asked_for():
    """In a fresh interpreter: importing finds no plugin, and listing functions needs no library that they use late."""
    code = """
    import sys
    import openhcs_core.plugins as plugins
    assert not any(name.startswith("openhcs_functions") for name in sys.modules)
    assert plugins.registry.cache_info().currsize == 0
    assert plugins.functions()
    assert not {"skimage", "cupy", "dask"} & set(sys.modules), "heavy"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def documented(text: str) -> dict[str, str]:
    """Sections of the documentation by heading of level 2."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_hook_is_documented_with_its_arguments_and_an_example():
    sections = documented(DOCS.read_text(encoding="utf-8"))
    arguments = {
        name: ", ".join(inspect.signature(getattr(hookspecs, name)).parameters) for name in plugins.hook_names()
    }
    wanted = {name: f"{name}({listed})" for name, listed in arguments.items()}
    assert wanted
    assert {heading for heading in sections if heading.startswith("openhcs_")} == set(wanted.values())
    for name in wanted:
        examples = re.findall(r"^ *(?:>>>|\.\.\.) (.*)$", inspect.getdoc(getattr(hookspecs, name)) or "", re.MULTILINE)
        tree = ast.parse("\n".join(examples))
        assert [node.name for node in tree.body if isinstance(node, ast.FunctionDef)] == [name]


def test_code_in_the_documentation_is_right():
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        ast.parse(block)


def test_the_plugin_of_the_documentation_works(install):
    import numpy as np

    from openhcs_core.functions import check_parameters
    from openhcs_core.pipeline import read_pipeline

    example, pipeline = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[:2]
    install("openhcs_unmixing", example)
    unmix = plugins.function("openhcs_unmixing.unmix")
    assert plugins.problems() == {}
    image = np.array([[[100]], [[15]], [[0]]], np.uint8)
    assert unmix.function(image).ravel().tolist() == [100, 5, 0]
    assert check_parameters(unmix, {"bleeding": 1, "below": "none"}) != []
    (step,) = read_pipeline(pipeline).steps
    assert step.chains[None][0][1] == {"bleeding": 0.2}
    brightest = plugins.function("openhcs_unmixing.brightest")
    assert brightest.function(image[0], image[0]) == {"Brightest": [100.0]}
