"""Blocking storage: spools for what comes in, files for blobs, an index for the rest."""

from .digests import Data
from .errors import StoreError, StoreLocked, StoreTooNew
from .spools import Body, FileSpool, MemorySpool, TooLarge, WindowSpool
from .store import Store, Swept, open_store

__all__ = [
    "Body",
    "Data",
    "FileSpool",
    "MemorySpool",
    "Store",
    "StoreError",
    "StoreLocked",
    "StoreTooNew",
    "Swept",
    "TooLarge",
    "WindowSpool",
    "open_store",
]
