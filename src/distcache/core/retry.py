"""Whether and when a broken transfer, or a probe in the place of one, is tried again.

Nothing random: the jitter comes from the key, so that a run can be repeated, and still two
transfers that broke together do not come back together.
"""

from zlib import crc32

from .config import Limits
from .events import Cause
from .problems import WRONG_RANGE, Failure


def worthwhile(failure: Failure, attempts: int, limits: Limits, *, begun: bool) -> bool:
    """Whether a try more can help, after so many in vain. Where nothing has come yet (not
    `begun`) only a broken connection or a 5xx is tried again, and few times: an honest error
    now is better than a late one."""
    if failure.definite or failure.cause is Cause.TOO_LARGE:
        return False
    if begun:
        return attempts < limits.attempts
    passing = failure.status is not None and failure.status >= 500
    helps = passing or failure.cause is Cause.CUT or failure is WRONG_RANGE
    return helps and attempts < limits.first_attempts


def delay(key: str, attempt: int, limits: Limits, retry_after: int | None = None) -> float:
    """Seconds before try number `attempt` (2, 3, …): doubling, between half and the whole of
    the step, never less than upstream asked for as long as that stays within the bound."""
    step = min(limits.backoff * 2.0 ** (attempt - 2), limits.backoff_max)
    jittered = step * (0.5 + crc32(f"{key} {attempt}".encode()) % 1024 / 2048)
    return max(jittered, min(float(retry_after or 0), limits.backoff_max))
