"""What an operator does with a cache, beside running it."""
