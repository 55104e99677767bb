"""Whether the execution server answers at once while it runs what it was asked to, and its memory stays as it is.

Run it with ``python bench/execution_server.py [--quick] [--json FILE]``. A server without OMERO runs four executions
(filters that keep the CPUs busy, at nice 5); 200 clients in four programs, each with a CURVE connection of its own,
send `ping` and `status` by turns, one every half second (400 requests a second altogether), and connect anew after each
20. Before the time runs, all have had answers for a few seconds. Times are those that the clients see, on the same
machine as everything else; what is not answered within five seconds, or with an error, is an error.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zmq

from openhcs_core.execution.keys import local_session
from openhcs_core.streaming.security import CurveKeys, secure_client
from openhcs_core.streaming.sockets import Server

ROOT = Path(__file__).resolve().parents[1]
CLIENTS, PROGRAMS, EVERY_S, ANEW = 200, 4, 0.5, 20
JOBS, WARM_UP_S, LATE_S = 4, 3.0, 5.0
SIGMA, STEPS = 100, 40
HEAD = """from openhcs_core.pipeline import FunctionStep
from openhcs_functions.smoothing import gaussian
"""
LIMITS = {
    "errors": (0, "at most"),
    "ping_p99_ms": (50, "at most"),
    "rss_end_vs_begin": (1.02, "at most"),
    "running_at_end": (JOBS, "at least"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10 s instead of 30 s")
    parser.add_argument("--json", type=Path, help="write the figures here, for machines")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(**json.load(sys.stdin))
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), 10.0 if args.quick else 30.0)
    figures |= {"load_before": load, "cpus": os.cpu_count() or 1}
    for name, value in figures.items():
        limit, word = LIMITS.get(name, (None, ""))
        print(f"{name:24} {value:10.3f}" + ("" if limit is None else f"   {word} {limit}"))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


def measure(folder: Path, seconds: float) -> dict[str, float]:
    """A server, its executions, and its clients for so long."""
    scratch = folder / "scratch"
    scratch.mkdir()
    plates = [make_plate(folder / f"plate{number}", number) for number in range(JOBS)]
    config = folder / "openhcs.toml"
    config.write_text(
        f'scratch = "{scratch}"\nserver_state = "{folder}/state"\nserver_logs = "{folder}/logs"\n'
        f'server_listen = "127.0.0.1:0"\nserver_health_port = 0\nserver_jobs = {JOBS}\nexecutor_workers = 1\n'
        f"server_jobs_per_user = {JOBS}\nserver_grace_s = 0\n"
    )
    command = [sys.executable, "-m", "openhcs_core.cli", "serve", "--local"]
    environment = {**os.environ, "OPENHCS_CONFIG": str(config)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            server = Server.from_text(process.stdout.readline().partition(" ")[2])
            figures = load(server, local_session(folder / "state"), process.pid, plates, seconds)
        finally:
            process.terminate()
    return figures | {"exit_status": process.returncode}


def load(server: Server, session: str, pid: int, plates: list[Path], seconds: float) -> dict[str, float]:
    """Executions that run, and clients that ask."""
    client = Client(server)
    ids = []
    for number, plate in enumerate(plates):
        chain = f"(gaussian, {{'sigma': {SIGMA + number}}}), " * STEPS
        text = HEAD + f"pipeline_steps = [FunctionStep([{chain}])]"
        answer = client.ask({"command": "execute", "session": session, "plate": str(plate), "pipeline_code": text})
        ids.append(answer["execution_id"])
    questions = [{"command": "status", "session": session, "execution_id": one} for one in ids]
    while {client.ask(question)["state"] for question in questions} != {"running"}:
        time.sleep(0.1)
    job = {"endpoint": server.endpoint, "key": server.public_key, "questions": questions, "seconds": seconds}
    programs = [
        subprocess.Popen(
            [sys.executable, __file__, "--work"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(PROGRAMS)
    ]
    for number, program in enumerate(programs):
        assert program.stdin is not None
        program.stdin.write(json.dumps(job | {"seed": number}))
        program.stdin.close()
    time.sleep(2 + WARM_UP_S)
    begin = memory(pid)
    found = [json.loads(program.stdout.read()) for program in programs if program.stdout is not None]
    end = memory(pid)
    for program in programs:
        program.wait()
    running = sum(client.ask(question)["state"] == "running" for question in questions)
    times = {kind: sorted(1000 * second for one in found for second in one[kind]) for kind in ("ping", "status")}
    figures: dict[str, float] = {"errors": sum(one["errors"] for one in found)}
    for kind, values in times.items():
        figures |= {f"{kind}_p50_ms": statistics.median(values), f"{kind}_p99_ms": values[int(0.99 * len(values))]}
        figures[f"{kind}_max_ms"] = values[-1]
    requests = sum(map(len, times.values()))
    return figures | {
        "requests": requests,
        "requests_per_s": requests / seconds,
        "clients": CLIENTS,
        "running_at_end": running,
        "rss_begin_mb": begin,
        "rss_end_mb": end,
        "rss_end_vs_begin": end / begin,
    }


class Client:
    """One connection at a time."""

    def __init__(self, server: Server, context: zmq.Context | None = None) -> None:
        self._server, self._context = server, context or zmq.Context()
        self.connect()

    def connect(self) -> None:
        """Connect, anew."""
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        secure_client(self.socket, CurveKeys.new(), self._server.public_key or "")
        self.socket.connect(self._server.endpoint)

    def send(self, question: dict) -> None:
        """Ask, and do not wait."""
        self.socket.send(json.dumps(question).encode())

    def ask(self, question: dict) -> dict:
        """The answer to a question."""
        self.send(question)
        return self.read()

    def read(self) -> dict:
        """The next answer."""
        answer = json.loads(self.socket.recv())
        if "code" in answer:
            raise SystemExit(str(answer))
        return answer


def work(endpoint: str, key: str, questions: list[dict], seconds: float, seed: int) -> None:
    """What one program of clients does: prints the times of its answers in seconds, and how many errors."""
    chance, context, poller = random.Random(seed), zmq.Context(), zmq.Poller()
    clients = [Client(Server(endpoint, key), context) for _ in range(CLIENTS // PROGRAMS)]
    for client in clients:
        poller.register(client.socket, zmq.POLLIN)
    by_socket = {client.socket: number for number, client in enumerate(clients)}
    asked: dict[int, tuple[float, str]] = {}
    times: dict[str, list[float]] = {"ping": [], "status": []}
    errors, counts = 0, [chance.randrange(ANEW) for _ in clients]
    now = time.perf_counter()
    counted, ends = now + WARM_UP_S, now + WARM_UP_S + seconds
    turns = [(now + chance.uniform(0, EVERY_S), number) for number in range(len(clients))]
    heapq.heapify(turns)
    while now < ends or asked:
        now = time.perf_counter()
        while turns and turns[0][0] <= now < ends:
            due, number = heapq.heappop(turns)
            heapq.heappush(turns, (due + EVERY_S, number))
            if number in asked:
                continue
            client = clients[number]
            if counts[number] % ANEW == 0:
                poller.unregister(client.socket)
                del by_socket[client.socket]
                client.socket.close()
                client.connect()
                poller.register(client.socket, zmq.POLLIN)
                by_socket[client.socket] = number
            kind = ("ping", "status")[counts[number] % 2]
            counts[number] += 1
            asked[number] = time.perf_counter(), kind
            client.send({"command": "ping"} if kind == "ping" else chance.choice(questions))
        wait = max(0.0, min(turns[0][0], ends) - time.perf_counter()) if now < ends else 0.1
        for ready, _ in poller.poll(1000 * min(wait, 0.1)):
            number = by_socket[ready]
            answer = json.loads(ready.recv())
            begin, kind = asked.pop(number)
            errors += "code" in answer
            if begin >= counted:
                times[kind].append(time.perf_counter() - begin)
        for number in [number for number, (begin, _) in asked.items() if now - begin > LATE_S]:
            del asked[number]
            errors += 1
            counts[number] = 0  # what comes late is not taken for the next answer
    print(json.dumps(times | {"errors": errors}))


def make_plate(folder: Path, seed: int) -> Path:
    """Write a plate of noise; return its folder."""
    import tifffile

    folder.mkdir()
    for well in range(12):
        plane = np.random.default_rng([seed, well]).integers(0, 4096, (2048, 2048)).astype(np.uint16)
        tifffile.imwrite(folder / f"A{well + 1:02}_s001_w1_z001_t001.tif", plane)
    return folder


def memory(pid: int) -> float:
    """Resident memory in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
