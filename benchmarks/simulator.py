"""How fast the simulated Stripe is, and how much memory an object takes.

Run ``python benchmarks/simulator.py``. The server is one process, the client another one that reads
bytes off sockets and does nothing with them, so that the server is what is measured. The aim: 400
requests/s of 100-object pages of 2 KB invoices on one core, memory linear in the objects.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TARGET = 400.0
TICKS = os.sysconf("SC_CLK_TCK")


class Simulator:
    """The simulated Stripe as a process."""

    def __init__(self, *options: str) -> None:
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "airflow_provider_stripe_app.testing", *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.hello: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.seconds_to_start = time.perf_counter() - self.started
        self.address = urlsplit(self.hello["url"])

    def cpu_seconds(self) -> float:
        """Return the processor time it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_bytes(self) -> int:
        """Return the memory it holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def ids(self, path: str, count: int) -> list[str]:
        """Return cursors spread over a list, so that pages are read from everywhere in it."""
        request = urllib.request.Request(
            f"{self.hello['url']}/_sim/objects?type={path.rstrip('s')}",
        )
        with urllib.request.urlopen(request) as answer:
            objects = json.loads(answer.read())["data"]
        step = max(1, len(objects) // count)
        return [obj["id"] for obj in objects[200::step]]

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)


def read_pages(
    sim: Simulator, path: str, cursors: list[str], until: float, counts: list[tuple[int, int]]
) -> None:
    """Ask for pages on one kept-alive connection until a time; count answers and bytes."""
    requests, size, buffer = 0, 0, bytearray(1 << 20)
    with socket.create_connection((sim.address.hostname or "", sim.address.port or 0)) as sock:
        while time.perf_counter() < until:
            cursor = cursors[requests % len(cursors)]
            sock.sendall(
                f"GET /v1/{path}?limit=100&starting_after={cursor} HTTP/1.1\r\n"
                f"Host: sim\r\nAuthorization: Bearer {sim.hello['secret_key']}\r\n"
                "Stripe-Version: 2026-10-28.endive\r\n\r\n".encode()
            )
            got = sock.recv_into(buffer)
            head_end = bytes(buffer[: min(got, 4096)]).index(b"\r\n\r\n") + 4
            head = bytes(buffer[:head_end]).lower()
            if not head.startswith(b"http/1.1 200"):
                raise RuntimeError(bytes(buffer[:got]).decode())
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            total = head_end + length
            while got < total:
                got += sock.recv_into(buffer)
            requests, size = requests + 1, size + total
    counts.append((requests, size))


def pages(sim: Simulator, path: str, seconds: float, connections: int) -> dict[str, float]:
    """Measure 100-object pages of one list."""
    cursors = sim.ids(path, 97)
    counts: list[tuple[int, int]] = []
    cpu, begin = sim.cpu_seconds(), time.perf_counter()
    threads = [
        threading.Thread(target=read_pages, args=(sim, path, cursors, begin + seconds, counts))
        for _ in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed, cpu = time.perf_counter() - begin, sim.cpu_seconds() - cpu
    requests = sum(number for number, _ in counts)
    size = sum(number for _, number in counts)
    return {
        "requests_per_second": requests / elapsed,
        "page_kilobytes": size / requests / 1000,
        "server_cpu": cpu / elapsed,
        "cpu_milliseconds_per_request": 1000 * cpu / requests,
        "requests_per_cpu_second": requests / cpu,
    }


def bytes_per_object(objects: int, *options: str) -> tuple[float, float]:
    """Return the resident bytes that one more object takes, and seconds to make them all."""
    few = Simulator("--customers", "1000", *options)
    base = few.resident_bytes()
    few.stop()
    many = Simulator("--customers", str(objects), *options)
    used, seconds = many.resident_bytes() - base, many.seconds_to_start
    many.stop()
    return used / (objects - 1000), seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--memory-objects", type=int, default=200_000)
    args = parser.parse_args()
    sim = Simulator(
        "--customers=2000", "--invoices=5000", "--subscriptions=1000", "--switch=rate_limits=false"
    )
    print(f"start with 8,000 objects: {sim.seconds_to_start:.2f} s")
    slow = False
    for path in ("invoices", "customers", "subscriptions"):
        figures = pages(sim, path, args.seconds, args.connections)
        slow = slow or (path == "invoices" and figures["requests_per_second"] < TARGET)
        print(f"{path:13}", "  ".join(f"{name} {value:.2f}" for name, value in figures.items()))
    sim.stop()
    for label, options in (("small", ("--small",)), ("whole", ())):
        each, seconds = bytes_per_object(args.memory_objects, *options)
        print(
            f"{args.memory_objects:,} {label} customers: {each:.0f} bytes each, made in "
            f"{seconds:.1f} s; a million would take {each / 1000:.2f} GB"
        )
    print(f"{'MISSED' if slow else 'met'}: at least {TARGET:.0f} requests/s of 100 invoices")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
