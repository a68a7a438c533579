"""Fuzzing with coverage as the guide (atheris, which is libFuzzer for Python).

`targets/` has one module for each mouth: its docstring says in one sentence what holds for any
bytes, and `one_input` raises when it does not. `corpus/` is what was found worth keeping; the
tests play it again without atheris. `python -m fuzz.run SECONDS` searches for more.
"""
