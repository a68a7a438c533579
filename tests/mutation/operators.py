"""Mutants of a module: what a tired hand could have written instead, one slip each.

| part | becomes |
|---|---|
| comparison | its neighbour (`<` `<=`, `==` `!=`, `is` `is not`, `in` `not in`) |
| `and`, `or` | the other; each operand alone left out |
| `not x` | `x` |
| condition of `if`, `while`, `case`, a comprehension | its contrary |
| `a if c else b` | `b if c else a` |
| arithmetic, `+=` | the opposite operator |
| number, True, False | another |
| `return x` | `return None` |
| argument by name | left out |
| argument by place, after the first | None |
| call for its effect, assignment to a part, `del`, `continue`, `break`, `raise` | left out |
| `case` that is not the last | left out |

Left alone: annotations, docstrings and all other texts (what is said in words is not behaviour;
values of enums are names), and assertions outside `invariants`: one that holds says nothing when
it is gone.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attrs import define

OPPOSITES: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}

ASSERTIONS = "invariants"
"""The module whose assertions are its behaviour."""


@define(eq=False)
class Mutant:
    """One change to one module. `name` outlives changes elsewhere in the module; `lines` are those
    of the statement it is in; `top` is the statement of the module it belongs to, as it was."""

    module: str
    name: str
    lines: range
    top: ast.stmt
    original: str
    in_function: bool
    _change: Callable[[], None]
    _undo: Callable[[], None]

    def code(self, filename: str, flags: int, whole: ast.Module | None = None) -> object:
        """Compiled: the changed statement alone, or the `whole` module with it."""
        self._change()
        try:
            tree = whole or ast.Module([self.top], [])
            return compile(tree, filename, "exec", flags, dont_inherit=True)
        finally:
            self._undo()


def mutants(path: Path) -> tuple[ast.Module, list[Mutant]]:
    """All of one module, in its order; and its tree, which they change when asked to."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    walk = _Walk(path.stem)
    for statement in tree.body:
        walk.top = statement
        walk.original = ast.unparse(statement)
        walk.statement(statement)
    return tree, walk.found


class _Walk:
    def __init__(self, module: str) -> None:
        self.found: list[Mutant] = []
        self.top: ast.stmt = ast.Pass()
        self.original = ""
        self._module = module
        self._names: list[str] = []
        self._in_function = False
        self._lines = range(0)
        self._seen: Counter[str] = Counter()

    def statement(self, node: ast.stmt) -> None:
        outer = self._lines
        body = getattr(node, "body", None) or getattr(node, "cases", None)
        first: Any = None
        if body:
            first = body[0].pattern if isinstance(node, ast.Match) else body[0]
        end = node.end_lineno or node.lineno
        stop = max(node.lineno, first.lineno - 1) if first else end
        self._lines = range(node.lineno, stop + 1)
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            self._definition(node)
        elif _is_words(node) or (isinstance(node, ast.If) and _for_types(node)):
            pass
        elif isinstance(node, ast.Assert):
            if self._module == ASSERTIONS:
                if not _turned_anyway(node.test):
                    self._field(node, "test", _negated(node.test))
                self._expression_in(node, "test", node.test)
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            self._own(node)
            self._inside(node)
        self._lines = outer

    def _definition(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        self._names.append(node.name)
        if isinstance(node, ast.FunctionDef):
            for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
                self._inside(default)
        outer = self._in_function
        self._in_function = outer or isinstance(node, ast.FunctionDef)
        self._block(node.body)
        self._in_function = outer
        self._names.pop()

    def _inside(self, node: ast.AST) -> None:
        """The parts of a statement or an expression."""
        if isinstance(node, ast.expr):
            self._expression(node)
        for name, value in ast.iter_fields(node):
            if name == "annotation":
                continue
            if name in ("body", "orelse", "finalbody") and isinstance(value, list):
                self._block(value)
                continue
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.expr):
                    self._expression_in(node, name, part)
                elif isinstance(part, ast.match_case):
                    self._case(part)
                elif isinstance(part, ast.AST):
                    self._inside(part)

    def _block(self, body: list[ast.stmt]) -> None:
        for index, statement in enumerate(body):
            if _may_go(statement):
                put = ast.copy_location(ast.Pass(), statement)
                self._add(statement, f"left out: {_text(statement)}", *_item(body, index, put))
            self.statement(statement)

    def _case(self, case: ast.match_case) -> None:
        outer = self._lines
        self._lines = range(case.pattern.lineno, case.body[0].lineno + 1)
        if case.guard is not None:
            if not _turned_anyway(case.guard):
                self._field(case, "guard", _negated(case.guard))
            self._expression_in(case, "guard", case.guard)
        self._lines = outer
        self._block(case.body)

    def _own(self, node: ast.stmt) -> None:
        match node:
            case ast.If() | ast.While() if not _turned_anyway(node.test):
                self._field(node, "test", _negated(node.test))
            case ast.Return(value=ast.expr()) if not _is_none(node.value):
                self._field(node, "value", ast.Constant(None))
            case ast.AugAssign():
                self._field(node, "op", OPPOSITES[type(node.op)]())
            case ast.Match():
                for index in range(len(node.cases) - 1):
                    case = node.cases[index]
                    never = ast.match_case(case.pattern, _false(case.pattern), case.body)
                    what = f"left out: case {ast.unparse(case.pattern)}"
                    self._add(case.pattern, what, *_item(node.cases, index, never))

    def _expression_in(self, parent: ast.AST, name: str, node: ast.expr) -> None:
        """`node` stands in that field of `parent`, where something else may stand instead."""
        for other in _instead(node):
            ast.copy_location(other, node)
            ast.fix_missing_locations(other)
            value = getattr(parent, name)
            if isinstance(value, list):
                index = next(i for i, part in enumerate(value) if part is node)
                change = _item(value, index, other)
            else:
                change = _attribute(parent, name, other)
            self._add(node, f"{_text(node)} -> {_text(other)}", *change)
        self._inside(node)

    def _expression(self, node: ast.expr) -> None:
        """What changes within it."""
        match node:
            case ast.Compare():
                for index, op in enumerate(node.ops):
                    other = OPPOSITES[type(op)]()
                    self._within(node, *_item(node.ops, index, other))
            case ast.BoolOp() | ast.BinOp():
                if type(node.op) in OPPOSITES:
                    self._within(node, *_attribute(node, "op", OPPOSITES[type(node.op)]()))
            case ast.Call():
                self._call(node)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                for comprehension in node.generators:
                    for index, condition in enumerate(comprehension.ifs):
                        if _turned_anyway(condition):
                            continue
                        change = _item(comprehension.ifs, index, _negated(condition))
                        self._within(node, *change)

    def _call(self, node: ast.Call) -> None:
        for index, keyword in enumerate(node.keywords):
            self._within(node, *_gone(node.keywords, index), about=keyword.arg or "**")
        if isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "frozenset"):
            return
        for index, argument in enumerate(node.args):
            starred = isinstance(argument, ast.Starred | ast.GeneratorExp)
            if index and not starred and not isinstance(argument, ast.Constant):
                put = ast.copy_location(ast.Constant(None), argument)
                self._within(node, *_item(node.args, index, put))

    def _within(
        self, node: ast.expr, change: Callable[[], None], undo: Callable[[], None], about: str = ""
    ) -> None:
        before = _text(node)
        change()
        after = _text(node)
        undo()
        self._add(node, f"{before} -> {after}", change, undo)

    def _field(self, node: ast.AST, name: str, other: ast.AST) -> None:
        old = getattr(node, name)
        if isinstance(other, ast.expr):
            ast.copy_location(other, old)
            ast.fix_missing_locations(other)
        if isinstance(node, ast.match_case):
            what = f"case guard {_text(old)} -> {_text(other)}"
            self._add(old, what, *_attribute(node, name, other))
            return
        head = _head(node)
        change, undo = _attribute(node, name, other)
        change()
        after = _head(node)
        undo()
        self._add(node, f"{head} -> {after}", change, undo)

    def _add(
        self, node: ast.AST, what: str, change: Callable[[], None], undo: Callable[[], None]
    ) -> None:
        where = ".".join(self._names) or "module"
        name = f"{self._module}:{where}: {what}"
        self._seen[name] += 1
        if self._seen[name] > 1:
            name += f" #{self._seen[name]}"
        start = getattr(node, "lineno", self._lines.start)
        lines = range(min(self._lines.start, start), max(self._lines.stop, start + 1))
        self.found.append(
            Mutant(
                self._module,
                name,
                lines,
                self.top,
                self.original,
                self._in_function,
                change,
                undo,
            )
        )


def _instead(node: ast.expr) -> Iterator[ast.expr]:
    """What may stand in its place."""
    match node:
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.BoolOp():
            for index in range(len(node.values)):
                rest = [v for i, v in enumerate(node.values) if i != index]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
        case ast.IfExp():
            yield ast.IfExp(node.test, node.orelse, node.body)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(number)):
            yield ast.Constant(number + 1)
        case ast.Constant(value=float(number)):
            yield ast.Constant(number + 1.0)


def _may_go(node: ast.stmt) -> bool:
    match node:
        case ast.Expr():
            return not _is_words(node)
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return True
        case ast.AugAssign() | ast.Delete() | ast.Continue() | ast.Break() | ast.Raise():
            return True
    return False


def _is_words(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _for_types(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _turned_anyway(condition: ast.expr) -> bool:
    """Whether another mutant is its contrary."""
    match condition:
        case ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Compare(
            ops=[ast.Eq() | ast.NotEq() | ast.Is() | ast.IsNot() | ast.In() | ast.NotIn()]
        ):
            return True
    return False


def _false(place: ast.AST) -> ast.expr:
    return ast.copy_location(ast.Constant(False), place)


def _negated(condition: ast.expr) -> ast.expr:
    return ast.fix_missing_locations(
        ast.copy_location(ast.UnaryOp(ast.Not(), condition), condition)
    )


def _item(
    items: list[object] | list[ast.stmt] | list[ast.expr] | list[ast.cmpop] | list[ast.match_case],
    index: int,
    other: ast.AST,
) -> tuple[Callable[[], None], Callable[[], None]]:
    places: list[object] = items  # type: ignore[assignment]
    old = places[index]
    return lambda: places.__setitem__(index, other), lambda: places.__setitem__(index, old)


def _gone(items: list[ast.keyword], index: int) -> tuple[Callable[[], None], Callable[[], None]]:
    old = items[index]

    def remove() -> None:
        del items[index]

    return remove, lambda: items.insert(index, old)


def _attribute(
    node: ast.AST, name: str, other: ast.AST
) -> tuple[Callable[[], None], Callable[[], None]]:
    old = getattr(node, name)
    return lambda: setattr(node, name, other), lambda: setattr(node, name, old)


def _head(node: ast.AST) -> str:
    """A compound statement without what it holds."""
    match node:
        case ast.If() | ast.While():
            return f"{type(node).__name__.lower()} {_text(node.test)}"
    return _text(node)


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())
