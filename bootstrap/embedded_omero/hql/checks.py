"""What a query may not do although it can be read: refused by the server or by its database."""

from __future__ import annotations

from . import nodes
from .compiler import Compiler
from .errors import HqlSemanticError
from .expr import Expr, Source
from .functions import AGGREGATES
from .operators import failure
from .scope import Scope


def check_fetches(fetches: list[Source], items: list[Expr]) -> None:
    """Refuse fetch joins which start from something that is not selected."""
    owners = {e.access.source for e in items if e.access is not None and e.type.kind == "entity"}
    for source in fetches:
        start = source.parent
        while start.implied:
            start = start.parent
        if start not in owners:
            role = f"{start.entity.java}.{source.name}" if start.entity is not None else source.name
            raise HqlSemanticError(
                "query specified join fetching, but the owner of the fetched association was not present in the select "
                "list [FromElement{explicit,not a collection join,fetch join,fetch non-lazy properties,"
                f"classAlias={source.alias or 'null'},role={role}}}]"
            )
        owners.add(source)


def check_grouping(query: nodes.Query, compiler: Compiler) -> None:
    """Refuse columns which have different values within a group."""
    grouped = set(query.group)
    # Everything of an entity is fixed if the entity or its id is.
    fixed = {p.parts[0] for p in grouped if isinstance(p, nodes.Path) and p.parts[1:] in ((), ("id",))}

    def covered(node: nodes.Node) -> bool:
        if node in grouped:
            return True
        if isinstance(node, nodes.Call) and (node.name in AGGREGATES or node.name in ("minindex", "maxindex")):
            return True
        if isinstance(node, nodes.Path):
            return node.parts[0] in fixed or not compiler.compile(node).slots
        return all(map(covered, nodes.children(node)))

    aliases = {i.alias for i in query.select if i.alias}
    wanted = [i.value for i in query.select]
    wanted += [o.value for o in query.order if not (isinstance(o.value, nodes.Path) and o.value.parts[0] in aliases)]
    if query.having is not None:
        wanted.append(query.having)
    if not all(map(covered, wanted)):
        raise failure("grammar")


def check_distinct_order(query: nodes.Query, items: list[Expr], scope: Scope) -> None:
    """Refuse to sort distinct rows by what is not selected."""
    chosen = {i.value for i in query.select}
    aliases = {i.alias for i in query.select if i.alias}
    selected = {e.access.source for e in items if e.access is not None and e.type.kind == "entity"}
    for order in query.order:
        value = order.value
        if value in chosen or isinstance(value, nodes.Literal):
            continue
        if isinstance(value, nodes.Path):
            if value.parts[0] in aliases and len(value.parts) == 1:
                continue
            found = scope.resolve(value.parts)
            if found is not None and found.access is not None and found.access.source in selected:
                continue
        raise failure("grammar")
