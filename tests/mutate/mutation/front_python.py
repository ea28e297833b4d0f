"""Sites of a Python file, from the interpreter's own syntax tree.

The tree knows where each node begins and ends, but not where its operator stands: that is found in the
text between two operands, with strings and comments blanked.

The trap: a change must not add lines, and `return; if x:` is no Python. So a function whose first
statement is a compound one has no mutant that returns early.
"""

import ast
import builtins
import dis
import io
import re
import tokenize

from .core import Site

RELEASES = re.compile(r"^(close|free|release|shutdown|unregister|cancel|unlink)$")
COMPARISONS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in"}
SIMPLE = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Raise, ast.Return, ast.Break, ast.Continue, ast.Delete)
LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue)


def sites_of(source):
    return Reader(source).sites


def unknown_names(source):
    """The names that a text uses and that nothing in it, nor Python, makes. A compiler of C would refuse the text."""
    code = compile(source, "source", "exec", dont_inherit=True)
    used, made, waiting = set(), {"__file__", "__name__", "__doc__", *vars(builtins)}, [code]
    while waiting:
        code = waiting.pop()
        waiting += [each for each in code.co_consts if hasattr(each, "co_code")]
        for each in dis.get_instructions(code):
            if each.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                used.add(each.argval)
            elif each.opname in ("STORE_NAME", "STORE_GLOBAL"):
                made.add(each.argval)
    return used - made


class Reader(ast.NodeVisitor):
    def __init__(self, source):
        self.source, self.sites, self.function, self.last = source, [], "-", None
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.lines = source.splitlines(keepends=True)
        self.blanked = self.blank()
        self.visit(ast.parse(source))

    def offset(self, line, column):
        """ast counts bytes of UTF-8 in a line; the text is counted in characters."""
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())

    def range(self, node):
        return self.offset(node.lineno, node.col_offset), self.offset(node.end_lineno, node.end_col_offset)

    def blank(self):
        text = list(self.source)
        for token in tokenize.generate_tokens(io.StringIO(self.source).readline):
            if token.type in (tokenize.STRING, tokenize.COMMENT):
                begin = self.starts[token.start[0] - 1] + token.start[1]
                end = self.starts[token.end[0] - 1] + token.end[1]
                text[begin:end] = [char if char == "\n" else " " for char in text[begin:end]]
        return "".join(text)

    def add(self, kind, begin, end, text="", parts=()):
        self.sites.append(Site(kind, begin, end, self.function, text, tuple(parts)))

    def between(self, left, right, word):
        """Where an operator stands between two operands, or None."""
        begin, end = self.range(left)[1], self.range(right)[0]
        spelled = r"\s+".join(map(re.escape, word.split()))
        found = re.compile(rf"\b{spelled}\b" if word.isidentifier() or " " in word else spelled).search(self.blanked, begin, end)
        return (found.start(), found.end()) if found else None

    # --- statements ---

    def visit_FunctionDef(self, node):
        outer, self.function = self.function, node.name
        only_a_docstring = len(node.body) == 1 and ast.get_docstring(node) is not None
        if isinstance(node.body[0], SIMPLE) and not only_a_docstring:
            begin = self.range(node.body[0])[0]
            self.add("early", begin, begin, "return None")
        outer_last, self.last = self.last, node.body[-1]
        for part in node.body:
            self.visit(part)
        self.function, self.last = outer, outer_last

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit(self, node):
        if isinstance(node, SIMPLE):
            self.read_statement(node)
        super().visit(node)

    def read_statement(self, node):
        value = getattr(node, "value", None)
        if isinstance(node, ast.Expr) and isinstance(value, ast.Constant):
            return  # a docstring
        if self.function == "-" or (isinstance(node, ast.Return) and node is self.last):
            return
        name = ""
        if isinstance(node, ast.Expr) and isinstance(value, ast.Call):
            name = getattr(value.func, "attr", getattr(value.func, "id", ""))
        self.add("release" if RELEASES.match(name) else "statement", *self.range(node))

    def visit_If(self, node):
        self.read_condition(node.test)
        if any(isinstance(part, LEAVES) for part in node.body):
            self.add("error", *self.range(node.test))
        self.generic_visit(node)

    def visit_While(self, node):
        if not isinstance(node.test, ast.Constant):
            self.read_condition(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node):
        self.read_condition(node.test)
        self.generic_visit(node)

    def visit_ExceptHandler(self, node):
        """An exception that is not expected any more: `except ():` matches none."""
        if node.type is not None:
            self.add("handler", *self.range(node.type))
        self.generic_visit(node)

    # --- expressions ---

    def read_condition(self, node):
        single = isinstance(node, ast.Compare) and len(node.ops) == 1
        if not single:
            self.add("condition", *self.range(node))

    def visit_Compare(self, node):
        for left, operation, right in zip([node.left, *node.comparators], node.ops, node.comparators):
            word = COMPARISONS[type(operation)]
            place = self.between(left, right, word)
            if place:
                self.add("comparison", *place, word)
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        word = "and" if isinstance(node.op, ast.And) else "or"
        for left, right in zip(node.values, node.values[1:]):
            place = self.between(left, right, word)
            if place:
                self.add("logic", *place, word)
        for value in node.values:
            self.read_condition(value)
        self.generic_visit(node)

    def visit_BinOp(self, node):
        if isinstance(node.op, ast.BitOr):
            self.add("flags", *self.range(node), "|", (self.range(node.left), self.range(node.right)))
        self.generic_visit(node)

    def visit_Call(self, node):
        for a, b in zip(node.args, node.args[1:]):
            if not isinstance(a, ast.Starred) and not isinstance(b, ast.Starred):
                begin, end = self.range(a), self.range(b)
                self.add("call", begin[0], end[1], "", (begin, end))
        self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, (bool, int)):
            begin, end = self.range(node)
            self.add("number", begin, end, self.source[begin:end])

    def visit_JoinedStr(self, node):
        """Before Python 3.12 the places within an f-string are wrong."""

    def visit_Name(self, node):
        self.add("name", *self.range(node), node.id)

    def visit_Attribute(self, node):
        end = self.range(node)[1]
        self.add("name", end - len(node.attr), end, node.attr)
        self.generic_visit(node)

    def visit_Subscript(self, node):
        if not isinstance(node.slice, (ast.Constant, ast.Slice)):
            self.add("index", *self.range(node.slice))
        self.generic_visit(node)
