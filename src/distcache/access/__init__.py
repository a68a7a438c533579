"""Who may ask this cache, and for what: passwords, tokens, certificates, patterns.

Nothing here waits for anything but files, and that only in what says that it blocks.
"""

from .certificates import subject
from .gate import (
    Allowed,
    Asked,
    Challenge,
    Check,
    Gate,
    Refused,
    Verdict,
    asked,
)
from .repositories import Patterns
from .rules import HtpasswdRule, Rules, TokenRule

__all__ = [
    "Allowed",
    "Asked",
    "Challenge",
    "Check",
    "Gate",
    "HtpasswdRule",
    "Patterns",
    "Refused",
    "Rules",
    "TokenRule",
    "Verdict",
    "asked",
    "subject",
]
