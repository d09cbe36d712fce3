"""How long NGINX's exports go on failing after a Collector is back: gRPC's waits between two attempts to connect.

The numbers are those of doc/connection-backoff.md in github.com/grpc/grpc. NGINX's module has no directive for them.
"""

INITIAL_SECONDS = 1.0
MULTIPLIER = 1.6
MAXIMUM_SECONDS = 120.0
JITTER = 0.2
"""Of each wait but the first."""


def longest_after(away_seconds: float) -> float:
    """The longest time from a receiver's return to the attempt that finds it.

    Args:
        away_seconds: from the first connection that it refused to its return.
    """
    wait, factor = INITIAL_SECONDS, 0.0
    earliest = latest = 0.0
    while True:
        # When the next attempt is, if the jitter of every wait was the shortest or the longest.
        earliest += wait * (1 - factor)
        longest = wait * (1 + factor)
        latest += longest
        if earliest > away_seconds:
            # The attempt before may have been just before the return.
            return min(latest - away_seconds, longest)
        wait, factor = min(wait * MULTIPLIER, MAXIMUM_SECONDS), JITTER
