"""Holds a server to answers which were recorded from another one.

A case asks a server one thing: a query, a save, a run of a script, something it must refuse. Its answer is brought into
a form which does not depend on ids, times and names of the day, and compared with the recorded one::

    python -m embedded_omero.conformance --host HOST --port PORT --user root --password-env NAME --cases DIR

This package is the runner and the world of users and data in which the cases are asked. The cases themselves are Python
files in ``DIR/cases``, the recorded answers are in ``DIR/golden.json``.
"""

from .cases import Bag, Id, R, case, finish, hql_objects, hql_rows, objs, query, rows
from .world import LEVELS

__all__ = ["LEVELS", "Bag", "Id", "R", "case", "finish", "hql_objects", "hql_rows", "objs", "query", "rows"]
