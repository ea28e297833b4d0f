"""Sites of a C file, from clang's syntax tree.

clang prints for every node where its first and its last token begin. A node whose first or last token
comes from a macro has two places; the place in the text is the macro's name. So a macro is one opaque
operand: it can be negated or deleted as a whole, and nothing within it is changed.

The trap: the last token of a macro with arguments is again the macro's name, not its parenthesis; the
end is found in the text. Comments and strings are blanked before anything is searched for.
"""

import json
import re
import subprocess

from .core import Site

RELEASES = re.compile(r"^(close|free|shutdown|event_del|event_free|\w*_(close|free|clear|leave|unuse|give_pipe|return)|count_down)$")
NO_SITES = re.compile(r"^(assert|static_assert|_Static_assert)\b")
BLANKED = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|' r"'(?:\\.|[^'\\\n])*'", re.S)
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
WRAPPERS = ("ImplicitCastExpr", "ConstantExpr", "FullExpr")
FAILURES = re.compile(r"(==\s*-1|==\s*NULL|!=\s*0|<\s*0|!=\s*1)\s*$|^\s*!")


class NotReadable(Exception):
    """clang cannot read the file; the message is clang's."""


def blank(source):
    """The source with comments and the insides of strings blanked, of the same length."""
    return BLANKED.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), source)


def syntax_tree(path, flags, cwd):
    words = ["clang", *flags, "-w", "-fsyntax-only", "-Xclang", "-ast-dump=json", str(path)]
    done = subprocess.run(words, cwd=cwd, capture_output=True, check=False)
    if done.returncode != 0:
        raise NotReadable(f"clang cannot read {path}:\n{done.stderr.decode(errors='replace')}")
    return json.loads(done.stdout)


def sites_of(source, tree):
    """The sites of all functions and enumerations in the file itself, not of those it includes."""
    return Reader(source, tree).sites


class Reader:
    def __init__(self, source, tree):
        # clang counts bytes; so does everything here, one character a byte.
        self.source, self.blanked = source, blank(source)
        self.sites = []
        self.function, self.last = "-", None
        for node in tree.get("inner", ()):
            place = node.get("loc", {})
            place = place.get("expansionLoc", place)
            if "includedFrom" not in place and "offset" in place:
                self.read_declaration(node)

    def add(self, kind, begin, end, text="", parts=()):
        self.sites.append(Site(kind, begin, end, self.function, text, tuple(parts)))

    # --- where a node is ---

    def place(self, point):
        if "expansionLoc" in point:
            return point["expansionLoc"]["offset"], point["expansionLoc"]["tokLen"], True
        return point["offset"], point["tokLen"], False

    def range(self, node):
        """(begin, end, whether it is one macro) of a node, or None for a node without a place."""
        area = node.get("range", {})
        if not area.get("begin") or not area.get("end"):
            return None
        begin, _, begin_is_macro = self.place(area["begin"])
        last, length, last_is_macro = self.place(area["end"])
        end = last + length
        if last_is_macro:
            end = self.after_parentheses(end)
        return begin, end, begin_is_macro and last_is_macro and begin == last

    def after_parentheses(self, end):
        opening = re.compile(r"\s*\(").match(self.blanked, end)
        if not opening:
            return end
        depth = 0
        for at in range(opening.end() - 1, len(self.blanked)):
            depth += {"(": 1, ")": -1}.get(self.blanked[at], 0)
            if depth == 0:
                return at + 1
        return end

    def inner(self, node):
        return [part for part in node.get("inner", ()) if part.get("kind")]

    def unwrap(self, node):
        while node.get("kind") in WRAPPERS and self.inner(node):
            node = self.inner(node)[0]
        return node

    def is_macro(self, node):
        area = self.range(node)
        return area is None or area[2]

    def text(self, node):
        area = self.range(node)
        return self.source[area[0] : area[1]] if area else ""

    # --- declarations and statements ---

    def read_declaration(self, node):
        if node["kind"] == "EnumDecl":
            self.function = node.get("name", "-")
            self.walk(node)
        elif node["kind"] == "FunctionDecl":
            bodies = [part for part in self.inner(node) if part["kind"] == "CompoundStmt"]
            if bodies:
                self.function = node["name"]
                self.read_function(node, bodies[0])
        self.function = "-"

    def read_function(self, node, body):
        returns = node["type"].get("desugaredQualType", node["type"]["qualType"]).split("(")[0].strip()
        begin, _, _ = self.range(body)
        statements = self.inner(body)
        self.last = statements[-1].get("id") if statements else None
        for value in early_values(returns):
            self.add("early", begin + 1, begin + 1, f" return{value}")
        if returns == "void" and len(statements) > 1 and self.range(statements[-1]):
            at = self.range(statements[-1])[0]
            self.add("early", at, at, "return")
        self.walk(body)

    def walk(self, node):
        kind = node["kind"]
        if kind == "CompoundStmt":
            for part in self.inner(node):
                self.read_statement(part)
        elif kind in ("IfStmt", "WhileStmt", "DoStmt", "ForStmt", "SwitchStmt", "CaseStmt", "DefaultStmt", "LabelStmt"):
            self.read_control(node)
        else:
            self.read_expression(node)

    def read_statement(self, node):
        """A node in the place of a statement: it can be deleted, unless it declares or controls."""
        kind, area = node["kind"], self.range(node)
        if area is None or NO_SITES.match(self.text(node)):
            return
        begin, end, macro = area
        if kind in ("BreakStmt", "ContinueStmt", "GotoStmt"):
            self.add("statement", begin, end)
        elif kind == "ReturnStmt":
            if node.get("id") != self.last:
                self.add("statement", begin, end)
        elif kind == "CallExpr" or macro:
            name = re.match(r"\w*", self.text(node)).group()
            self.add("release" if RELEASES.match(name) else "statement", begin, end)
        elif kind in ("BinaryOperator", "CompoundAssignOperator", "UnaryOperator"):
            self.add("statement", begin, end)
        if not macro:
            self.walk(node)

    def read_control(self, node):
        kind, parts = node["kind"], self.inner(node)
        if kind == "IfStmt":
            self.read_condition(parts[0])
            self.read_branch(parts[0], parts[1])
            for part in parts[1:]:
                self.read_statement(part)
        elif kind == "WhileStmt":
            self.read_condition(parts[0])
            self.read_statement(parts[-1])
        elif kind == "DoStmt":
            self.read_statement(parts[0])
            self.read_condition(parts[1])
        elif kind == "ForStmt":
            for part in parts[:-1]:
                if part.get("type", {}).get("qualType") in ("int", "_Bool") and not part["kind"].startswith("Unary"):
                    self.read_condition(part)
                else:
                    self.walk(part)
            self.read_statement(parts[-1])
        elif kind == "SwitchStmt":
            self.walk(parts[0])
            self.walk(parts[-1])
        else:  # a label: what follows it is a statement
            self.read_statement(parts[-1])

    def read_branch(self, condition, body):
        """The branch of an error: it leaves, or its condition asks for a failure."""
        area = self.range(condition)
        leaves = re.search(r"\b(return|goto|continue|break)\b", self.text(body))
        if area and (leaves or FAILURES.search(self.text(condition))):
            self.add("error", area[0], area[1])

    # --- expressions ---

    def read_condition(self, node):
        """An expression that is asked for its truth: a comparison is negated by its own operator."""
        node = self.unwrap(node)
        area = self.range(node)
        if area is None:
            return
        if area[2] or node["kind"] != "BinaryOperator" or node["opcode"] not in COMPARISONS:
            self.add("condition", area[0], area[1])
        self.walk(node)

    def read_expression(self, node):
        kind = node["kind"]
        if self.is_macro(node):
            self.read_macro(node)
            return
        if kind == "BinaryOperator":
            self.read_binary(node)
        elif kind == "CompoundAssignOperator":
            pass
        elif kind == "ConditionalOperator":
            self.read_condition(self.inner(node)[0])
        elif kind == "CallExpr":
            self.read_call(node)
        elif kind == "IntegerLiteral":
            begin, end, _ = self.range(node)
            self.add("number", begin, end, self.source[begin:end])
        elif kind == "DeclRefExpr":
            begin, end, _ = self.range(node)
            self.add("name", begin, end, self.source[begin:end])
        elif kind == "MemberExpr" and node.get("name"):
            end = self.range(node)[1]
            if self.source[:end].endswith(node["name"]):
                self.add("name", end - len(node["name"]), end, node["name"])
        elif kind == "ArraySubscriptExpr":
            index = self.unwrap(self.inner(node)[1])
            if index["kind"] != "IntegerLiteral" and self.range(index):
                self.add("index", *self.range(index)[:2])
        for part in self.inner(node):
            self.walk(part)

    def read_macro(self, node):
        begin, end, _ = self.range(node) or (0, 0, True)
        if self.source[begin:end] in ("true", "false"):
            self.add("number", begin, end, self.source[begin:end])

    def read_binary(self, node):
        left, right = self.inner(node)
        opcode = node["opcode"]
        before, behind = self.range(left), self.range(right)
        if before is None or behind is None:
            return
        at = self.blanked.find(opcode, before[1], behind[0])
        if at == -1:
            return
        if opcode in COMPARISONS:
            self.add("comparison", at, at + len(opcode), opcode)
        elif opcode in ("&&", "||"):
            self.add("logic", at, at + len(opcode), opcode)
            for part in (left, right):
                operand = self.unwrap(part)
                if self.is_macro(operand) or operand["kind"] != "BinaryOperator":
                    self.add("condition", *self.range(operand)[:2])
        elif opcode == "|":
            begin, end, _ = self.range(node)
            self.add("flags", begin, end, opcode, (before[:2], behind[:2]))

    def read_call(self, node):
        arguments = self.inner(node)[1:]
        for a, b in zip(arguments, arguments[1:]):
            if kind_of(a) == kind_of(b) and self.range(a) and self.range(b):
                begin, end = self.range(a)[:2], self.range(b)[:2]
                if begin[1] <= end[0]:
                    self.add("call", begin[0], end[1], "", (begin, end))


def kind_of(node):
    """A type as the compiler checks it: `const` of what is pointed to does not tell two arguments apart."""
    name = node.get("type", {}).get("desugaredQualType", node.get("type", {}).get("qualType", ""))
    return name.replace("const ", "")


def early_values(returns):
    """What a function of this type can return early: the texts behind `return`."""
    if returns == "void":
        return [""]
    if returns in ("bool", "_Bool"):
        return [" 0", " 1"]
    if returns.startswith("struct ") and not returns.endswith("*"):
        return [f" ({returns}){{0}}"]
    return [" 0"]
