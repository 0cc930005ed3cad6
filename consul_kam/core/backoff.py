"""How long to wait before the next try."""


def backoff(failures: int, first: float = 0.25, longest: float = 30.0) -> float:
    """Seconds to wait after the `failures`-th failure in a row (1, 2, ...): doubles from `first`, at most `longest`.

    No jitter: one engine serves one Kamailio, so there is no herd to spread.
    """
    return min(longest, first * float(2 ** min(max(failures, 1) - 1, 20)))
