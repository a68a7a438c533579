"""When a broken transfer is tried again.

Nothing random: the jitter comes from the key, so that a run can be repeated, and still two
transfers that broke together do not come back together.
"""

from zlib import crc32

from .config import Limits


def delay(key: str, attempt: int, limits: Limits, retry_after: int | None = None) -> float:
    """Seconds before try number `attempt` (2, 3, …): doubling, between half and the whole of
    the step, never less than upstream asked for as long as that stays within the bound."""
    step = min(limits.backoff * 2.0 ** (attempt - 2), limits.backoff_max)
    jittered = step * (0.5 + crc32(f"{key} {attempt}".encode()) % 1024 / 2048)
    return max(jittered, min(float(retry_after or 0), limits.backoff_max))
