"""``python -m embedded_omero.conformance``: ask a server all cases and compare what it answers."""

from __future__ import annotations

import argparse
import getpass
import importlib.util
import json
import logging
import os
import random
import secrets
import sys
import time
from pathlib import Path

from .cases import CASES, answer
from .report import areas, compare, table
from .world import World

# What only reads comes first, and sees the world as it was made.
AREAS = ("hql", "gateway", "ezomero", "pixels", "sessions", "permissions", "files", "scripts")
SHOWN = 12  # lines of differences per case


def load(folder: Path) -> None:
    """Import all files with cases."""
    for path in sorted(folder.glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"conformance_cases_{path.stem}", path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def ask(world: World, part: str, verbose: bool) -> dict[str, object]:
    """Answers to all cases whose name has ``part`` in it."""
    got = {}
    for name, fn in sorted(CASES.items(), key=lambda item: AREAS.index(item[0].split("/")[0])):
        if part in name:
            start = time.monotonic()
            got[name] = answer(world, fn)
            if verbose:
                print(f"{name:60} {time.monotonic() - start:.1f} s", file=sys.stderr)
    return got


def stir(world: World, count: int, seed: int) -> None:
    """Ask some of the cases in a random order, whatever the answers: later ones must not depend on it."""
    chance = random.Random(seed)
    for name in chance.sample(sorted(CASES), min(count, len(CASES))):
        answer(world, CASES[name])


def main(argv: list[str] | None = None) -> int:
    """Run; 0 if everything is as recorded."""
    parser = argparse.ArgumentParser(
        prog="python -m embedded_omero.conformance",
        description="Compare the answers of an OMERO server with recorded ones. Users, groups and data are made on it.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4064, help="encrypted port (default: %(default)s)")
    parser.add_argument("--user", default="root", help="an administrator (default: %(default)s)")
    parser.add_argument("--password-env", metavar="NAME", help="environment variable with the password (default: ask)")
    parser.add_argument(
        "--cases",
        metavar="DIR",
        type=Path,
        default=Path("tests/conformance"),
        help="folder with cases/ and golden.json (default: %(default)s)",
    )
    parser.add_argument("-k", metavar="TEXT", default="", help="only cases with this in their names")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write counts and differences here as well")
    parser.add_argument("--record", metavar="FILE", type=Path, help="write the answers here instead of comparing them")
    parser.add_argument("--stir", metavar="N", type=int, default=0,
                        help="before, ask N random cases in random order, of data of their own")  # fmt: skip
    parser.add_argument("--seed", type=int, help="says which cases, in which order (default: a new one, printed)")
    parser.add_argument("-v", "--verbose", action="store_true", help="say how long each case took")
    args = parser.parse_args(argv)
    if not (args.cases / "cases").is_dir():
        parser.error(f"no cases in {args.cases.absolute()}: name their folder with --cases")
    if args.password_env:
        password = os.environ.get(args.password_env)
        if not password:
            parser.error(f"the environment variable {args.password_env} is empty")
    else:
        password = getpass.getpass(f"Password of {args.user}: ")

    logging.disable(logging.CRITICAL)  # the gateway logs refusals, which are what many cases are about
    load(args.cases / "cases")
    if args.stir:
        seed = secrets.randbits(32) if args.seed is None else args.seed
        print(f"stirred with --stir {args.stir} --seed {seed}", flush=True)
        with World(args.host, args.port, args.user, password) as world:
            world.seed()
            stir(world, args.stir, seed)
    with World(args.host, args.port, args.user, password) as world:
        world.seed()
        got = ask(world, args.k, args.verbose)
    if args.record:
        args.record.write_text(json.dumps({"cases": got}, indent=1, sort_keys=True) + "\n")
        return 0
    golden = json.loads((args.cases / "golden.json").read_text())["cases"]
    states = compare({name: want for name, want in golden.items() if args.k in name}, got)
    counts = areas(states)
    for name, (state, lines) in states.items():
        if lines:
            print(f"{state.upper()} {name}")
            print("\n".join(f"     {line}" for line in lines[:SHOWN]))
            if len(lines) > SHOWN:
                print(f"     ... {len(lines) - SHOWN} more")
    print(table(counts))
    if args.json:
        different = {name: lines for name, (_, lines) in states.items() if lines}
        args.json.write_text(json.dumps({"areas": counts, "different": different}, indent=1) + "\n")
    return 0 if all(state == "pass" for state, _ in states.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
