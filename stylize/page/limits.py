"""What a client may ask of the server. Sizes are in bytes, times in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """`body` is the size of one upload, `stored` that of all photos together; `photos` is their
    number. `requests` is how many pictures may be asked for at the same time, `jobs` how many jobs
    may wait or run, `ended` how many jobs that have ended are remembered.

    `idle` is how long a client may take for the head of a request, between two parts of a body,
    and to take a part of an answer; `receiving` is how long a whole body may take.
    """

    body: int = 200_000_000
    stored: int = 20_000_000_000
    photos: int = 5000
    requests: int = 32
    jobs: int = 8
    ended: int = 16
    idle: float = 10
    receiving: float = 300
    connections: int = 200
