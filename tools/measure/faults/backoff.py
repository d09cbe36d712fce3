"""Computes how long NGINX's exports keep failing after a Collector is back: gRPC waits between two connection attempts.

The numbers are those of doc/connection-backoff.md in github.com/grpc/grpc. NGINX's module has no directive for them.
"""

INITIAL_SECONDS = 1.0
MULTIPLIER = 1.6
MAXIMUM_SECONDS = 120.0
JITTER = 0.2
"""gRPC varies each wait but the first by this share."""


def longest_after(away_seconds: float) -> float:
    """Returns the longest time, in seconds, from a receiver's return to the attempt that finds it.

    Args:
        away_seconds: from the first connection that the receiver refused to its return.
    """
    wait, factor = INITIAL_SECONDS, 0.0
    earliest = latest = 0.0
    while True:
        # The times of the next attempt, if every wait had the shortest jitter and if every wait had the longest.
        earliest += wait * (1 - factor)
        longest = wait * (1 + factor)
        latest += longest
        if earliest > away_seconds:
            # The previous attempt may have come just before the return.
            return min(latest - away_seconds, longest)
        wait, factor = min(wait * MULTIPLIER, MAXIMUM_SECONDS), JITTER
