"""`python -m distcache`."""

from .cli import main

main()
