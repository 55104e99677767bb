"""``python -m embedded_omero``: run a server until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading


def main(argv: list[str] | None = None) -> int:
    """Start a server, say how to log in, wait."""
    parser = argparse.ArgumentParser(
        prog="python -m embedded_omero",
        description="An OMERO.server for tests and demonstrations. Data are gone when it stops.",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)"
    )
    parser.add_argument(
        "--port", type=int, default=4064, help="encrypted port; 0 picks a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--tcp-port", type=int, default=4063, help="plain port; 0 picks a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--ready-file", metavar="FILE", help="written when clients can log in: JSON with host, ports, password"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="folder for files and pixels (default: a temporary one)")
    parser.add_argument("--password-env", metavar="NAME", help="environment variable with the password for root")
    parser.add_argument("--no-processor", action="store_true", help="do not run scripts")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="log more; twice: every call")
    args = parser.parse_args(argv)
    levels = [logging.WARNING, logging.INFO, logging.DEBUG]
    logging.basicConfig(level=levels[min(args.verbose, 2)], format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    from .server import EmbeddedOmero

    password = None
    if args.password_env:
        password = os.environ.get(args.password_env)
        if not password:
            parser.error(f"the environment variable {args.password_env} is empty")
    server = EmbeddedOmero(args.host, args.port, args.tcp_port, args.data_dir, password, not args.no_processor)
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    try:
        server.start()
    except OSError as exc:
        print(f"Cannot start: {exc}", file=sys.stderr)
        return 1
    try:
        if args.ready_file:
            server.write_ready_file(args.ready_file)
        print(
            f"Embedded OMERO on {server.host}, port {server.port} (ssl) and {server.tcp_port} (tcp); user root.",
            flush=True,
        )
        if not args.ready_file and not args.password_env:
            print(f"Password of root: {server.password}", flush=True)
        done.wait()
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
