"""A scripted upstream: generated content behind a small registry that keeps a record of what it
is asked and can be told to fail."""
