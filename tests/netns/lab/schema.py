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


def problems(value, schema, root=None, where="$"):
    """What is wrong with a value, one sentence each."""
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


def _type(value, wanted, _, __, where):
    names = [wanted] if isinstance(wanted, str) else wanted
    return [] if any(_is(value, name) for name in names) else [f"{where}: is not {' or '.join(names)}"]


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
        return [f"{where}: unknown field {name}" for name in names]
    return [p for name in names for p in problems(value[name], wanted, root, f"{where}.{name}")]


def _required(value, wanted, *_):
    where = _[-1]
    return [f"{where}: no {name}" for name in wanted if isinstance(value, dict) and name not in value]


def _items(value, wanted, _, root, where):
    items = enumerate(value) if isinstance(value, list) else ()
    return [p for number, item in items for p in problems(item, wanted, root, f"{where}[{number}]")]


def _says(holds, text):
    """A check of one value against the keyword's own."""
    return lambda value, wanted, _, __, where: [] if holds(value, wanted) else [f"{where}: {value!r} {text} {wanted}"]


def _numeric(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_CHECKS = {
    "type": _type,
    "$ref": _reference,
    "properties": _properties,
    "additionalProperties": _additional,
    "required": _required,
    "items": _items,
    "enum": _says(lambda value, wanted: value in wanted, "is none of"),
    "const": _says(lambda value, wanted: value == wanted, "is not"),
    "pattern": _says(lambda value, wanted: not isinstance(value, str) or re.search(wanted, value), "does not match"),
    "minimum": _says(lambda value, wanted: not _numeric(value) or value >= wanted, "is below"),
    "maximum": _says(lambda value, wanted: not _numeric(value) or value <= wanted, "is above"),
    "minItems": _says(lambda value, wanted: not isinstance(value, list) or len(value) >= wanted, "has fewer items than"),
}
