"""Conformance: does a registry, or a cache, keep to the protocol? Asked over the wire only.

Nothing of the cache is used here: the client, the parser and the scripted upstream are its own,
so that a mistake of distcache cannot hide in the suite that judges it. The command is
`distcache conformance`; from Python, `conformance.runner.run`; in pytest, `conformance.plugin`.
"""
