"""Ten million photos: hours, machines, and what saturates first. A simulation, with made-up time.

Machines take photos of a bucket, each with a pool of connections, one network and some cores. Every
request waits for its latency (log-normal around 50 ms), every prefix of the bucket allows so many
requests a second, every network so many bytes. Photos are followed event by event until queues have
filled, for each number of machines; the listing comes before, on one machine. The plan on paper is
the smallest of the limits, each by itself. Both are printed side by side.

    python bench/scale.py [--rate 6] [--megabytes 0.5] [--machines 1 8 64 512 2048]
"""

import argparse
import heapq
import random

import torch
from common import machine, record
from rich.console import Console
from rich.table import Table

PHOTOS = 10_000_000
LATENCY, SPREAD = 0.05, 0.5  # median of a request in seconds, and sigma of its logarithm
GETS, PUTS = 5500, 3500  # a second, that S3 promises for a prefix
NETWORK = 1.25e9  # bytes a second of a machine
CONNECTIONS = 32  # of a machine, for reading; and as many for writing
PARTS = 1.0  # PUTs of the manifest for each photo, at most
PAGE = 1000  # keys in a request that lists
SIMULATED = 4000  # photos, and at least
LEAST = 400  # of each machine: enough that queues have filled
STEADY = (0.5, 0.8)  # the share of the photos between which the rate is measured


class Server:
    """Something that does one thing after another, each for its time."""

    def __init__(self) -> None:
        self.free = 0.0

    def take(self, now: float, seconds: float) -> float:
        """When it is done with what arrives now."""
        self.free = max(self.free, now) + seconds
        return self.free


def simulate(machines: int, rate: float, size: float, prefixes: int) -> float:
    """Photos a second of all machines, once queues have filled."""
    choose = random.Random(0)
    gets, puts = ([Server() for _ in range(prefixes)] for _ in range(2))
    networks = [Server() for _ in range(machines)]
    cores = [Server() for _ in range(machines)]
    total = max(SIMULATED, LEAST * machines)
    events: list[tuple[float, int, int, int]] = []  # time, order, machine, stage
    order = started = 0
    done: list[float] = []

    def later(time: float, machine: int, stage: int) -> None:
        nonlocal order
        order += 1
        heapq.heappush(events, (time, order, machine, stage))

    def request(
        now: float, machine: int, servers: list[Server], limit: float, size: float
    ) -> float:
        allowed = choose.choice(servers).take(now, 1 / limit)
        sent = networks[machine].take(allowed, size / NETWORK)
        return sent + choose.lognormvariate(0, SPREAD) * LATENCY

    stages = [
        lambda now, machine: request(now, machine, gets, GETS, size),
        lambda now, machine: cores[machine].take(now, 1 / rate),
        lambda now, machine: request(now, machine, puts, PUTS / PARTS, 1000),
        lambda now, machine: request(now, machine, puts, PUTS, size),
    ]
    for each in range(machines):
        for _ in range(CONNECTIONS):
            later(0.0, each, 0)
            started += 1
    while events:
        now, _, each, stage = heapq.heappop(events)
        if stage == len(stages):
            done.append(now)
            if started < total:
                started += 1
                later(now, each, 0)
        else:
            later(stages[stage](now, each), each, stage + 1)
    first, last = (int(share * len(done)) for share in STEADY)
    return (last - first) / (done[last] - done[first])


def on_paper(machines: int, rate: float, size: float, prefixes: int) -> dict[str, float]:
    """Photos a second that each limit allows by itself."""
    return {
        "cores": machines * rate,
        "connections": machines * CONNECTIONS / (3 * LATENCY),
        "network": machines * NETWORK / (2 * size),
        "GETs": prefixes * GETS,
        "PUTs": prefixes * PUTS / (1 + PARTS),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=6.0, help="photos a second of one machine")
    parser.add_argument("--megabytes", type=float, default=0.5, help="of a photo and its output")
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 8, 64, 512, 2048])
    parser.add_argument("--prefixes", type=int, default=1, help="among which requests are spread")
    options = parser.parse_args()
    console = Console(width=110)
    table = Table("machines", "photos/s on paper", "limit", "simulated", "hours")
    rows = []
    for machines in options.machines:
        sizes = (machines, options.rate, 1e6 * options.megabytes, options.prefixes)
        limits = on_paper(*sizes)
        limit = min(limits, key=limits.__getitem__)
        simulated = simulate(*sizes)
        hours = PHOTOS / simulated / 3600
        rows.append([machines, limits[limit], limit, simulated, hours])
        table.add_row(
            str(machines), f"{limits[limit]:.0f}", limit, f"{simulated:.0f}", f"{hours:.1f}"
        )
    console.print(table)
    pages = PHOTOS / PAGE
    console.print(f"listing, one request after the other: {pages * LATENCY / 60:.0f} minutes")
    options_used = {"rate": options.rate, "megabytes": options.megabytes}
    device = torch.device("cpu")
    console.print(machine(device))
    record("scale", device, {**options_used, "prefixes": options.prefixes, "rows": rows})


if __name__ == "__main__":
    main()
