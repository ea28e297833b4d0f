"""The part of JSON Schema (2020-12) that the schemas in fixtures/schema use.

An unknown keyword is an error, so that no constraint is ignored silently.
"""

import re

NOTES = {"$schema", "$id", "$defs", "title", "description", "examples", "default"}
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


KINDS = {"null": "null", "integer": "an integer", "array": "an array", "object": "an object"}


def problems(value, schema, root=None, where="$"):
    """What is wrong with a value: a list of sentences, empty when nothing is.

    Each names the field as a path from the root `$`, what it is, and what is expected: "`$.name` is a number, expected a
    string". `root` has the definitions that references name; `where` is the path of the value.
    """
    root = root or schema
    found = []
    for keyword, wanted in schema.items():
        if keyword in NOTES:
            continue
        check = _CHECKS.get(keyword)
        if check is None:
            raise NotImplementedError(f"{where}: keyword {keyword}")
        found += check(value, wanted, schema, root, where)
    return found


def _is(value, name):
    if isinstance(value, bool) and name != "boolean":
        return False
    return isinstance(value, TYPES[name])


def kind_of(value):
    """What a value is, with its article: "an array"."""
    return _with_article(next(name for name in TYPES if _is(value, name)))


def _with_article(name):
    return KINDS.get(name, f"a {name}")


def _type(value, wanted, _, __, where):
    names = [wanted] if isinstance(wanted, str) else wanted
    if any(_is(value, name) for name in names):
        return []
    return [f"`{where}` is {kind_of(value)}, expected {' or '.join(map(_with_article, names))}"]


def _reference(value, wanted, _, root, where):
    target = root
    for part in wanted.removeprefix("#/").split("/"):
        target = target[part]
    return problems(value, target, root, where)


def _properties(value, wanted, _, root, where):
    if not isinstance(value, dict):
        return []
    return [p for name in wanted if name in value for p in problems(value[name], wanted[name], root, f"{where}.{name}")]


def _additional(value, wanted, schema, root, where):
    if not isinstance(value, dict):
        return []
    names = sorted(set(value) - set(schema.get("properties", {})))
    if wanted is False:
        known = ", ".join(schema.get("properties", {})) or "no field"
        return [f"`{where}` has an unknown field `{name}`, expected only {known}" for name in names]
    return [p for name in names for p in problems(value[name], wanted, root, f"{where}.{name}")]


def _required(value, wanted, *_):
    where = _[-1]
    return [f"`{where}` has no field `{name}`, expected one" for name in wanted if isinstance(value, dict) and name not in value]


def _items(value, wanted, _, root, where):
    items = enumerate(value) if isinstance(value, list) else ()
    return [p for number, item in items for p in problems(item, wanted, root, f"{where}[{number}]")]


def _says(holds, text):
    """A check of one value against the keyword's own."""

    def check(value, wanted, _, __, where):
        expected = ", ".join(map(str, wanted)) if isinstance(wanted, list) else wanted
        return [] if holds(value, wanted) else [f"`{where}` is {value!r}, expected {text}{expected}"]

    return check


def _numeric(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_CHECKS = {
    "type": _type,
    "$ref": _reference,
    "properties": _properties,
    "additionalProperties": _additional,
    "required": _required,
    "items": _items,
    "enum": _says(lambda value, wanted: value in wanted, "one of "),
    "const": _says(lambda value, wanted: value == wanted, ""),
    "pattern": _says(lambda value, wanted: not isinstance(value, str) or re.search(wanted, value), "text that matches the pattern "),
    "minimum": _says(lambda value, wanted: not _numeric(value) or value >= wanted, "at least "),
    "maximum": _says(lambda value, wanted: not _numeric(value) or value <= wanted, "at most "),
    "minItems": _says(lambda value, wanted: not isinstance(value, list) or len(value) >= wanted, "items, at least "),
}
