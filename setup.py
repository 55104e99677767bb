"""Finds the packages; whatever else setuptools needs to know is in setup.cfg.

They live in three places: beside this file (the core and the scripts), in ``bootstrap`` (the embedded OMERO) and in
``plugins`` (each folder is one package). A new folder in ``plugins`` is found by itself; its entry points go into
setup.cfg, and an editable install needs ``bootstrap/setup`` once more.
"""

from pathlib import Path

from setuptools import find_namespace_packages, setup

PRUNE = ("*__pycache__*",)

packages = find_namespace_packages(include=("openhcs_core*", "omero_scripts*"), exclude=PRUNE)
package_dir = {}
for home in (Path("bootstrap/embedded_omero"), *sorted(Path("plugins").glob("*/"))):
    if (home / "__init__.py").is_file():
        package_dir[home.name] = str(home)
        packages += [home.name, *(f"{home.name}.{part}" for part in find_namespace_packages(str(home), exclude=PRUNE))]

setup(packages=packages, package_dir=package_dir)
