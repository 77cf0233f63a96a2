#!/usr/bin/env python3
"""Writes docs/api.md, the API reference, from docs/openapi.json.

    scripts/api-reference.py            writes it
    scripts/api-reference.py --check    exit 1 when it is out of date

Everything but the head and the example bodies comes from the description, which a test compares with the code.
"""

import json
import sys

from cargo_graph import ROOT

HEAD = """# API reference

Generated from [openapi.json](openapi.json) by `scripts/api-reference.py`; do not edit. A server has the same at `/openapi.json`. The
examples want two variables:

    W=http://127.0.0.1:8080; A='Authorization: APIKey 1$change-me'

- **Key.** Every call but those marked *no key* wants the header `Authorization: APIKey KEY`, and answers 401 without it. `Bearer` in place
  of `APIKey` does too. The key is `api.key` in `config.toml`, or `WEIR_API_KEY`.
- **Plain HTTP** from another machine answers 403: [Network](operations.md#configuration).
- **Bodies** are JSON of at most 256 KiB, whatever `Content-Type` says. Under `/streaming` unknown and read-only fields are ignored, so that a
  whole object may be sent back; under `/ops` they are refused with 422.
- **Faults.** Wrong fields: 422 and `{"errors": {"name": ["can't be blank"]}}`, all at once. A feature that this server does not have: 422 and
  `{"error": "Feature is disabled. Contact support to enable."}`. All else: `{"status": 404, "error": "Not Found. Stream 7 does not exist"}`.
  507 says that the disk is full; nothing was changed then.
- **Times** are RFC 3339 in UTC with milliseconds.
- **Not here:** [WHIP](operations.md#whip), and playlists and player, whose URLs a stream has.
"""

# Tags in the order of their chapters; others follow.
TAGS = ["streams", "quality sets", "operations"]

# Chapters that are for no client: the panel's own pages sign in and out.
HIDDEN = {"panel"}
# The answers that the head tells of once for all.
COMMON = {"$ref": "#/components/schemas/ErrorView"}

# What a client may send, for each operation that takes a body.
BODIES = {
    "POST /streaming/streams": {"name": "first", "active": True, "quality_set_id": 2},
    "PATCH /streaming/streams/{id}": {"active": False},
    "PUT /streaming/quality_sets/default": {"live": {"id": 2}},
    "PATCH /ops/streams/{id}/failover": {"mode": "hitless", "delay_ms": 2000},
    "POST /ops/streams/{id}/on_air": {"slot": "backup"},
    "POST /ops/streams/{id}/preflight": {"slot": "backup", "seconds": 60},
    "POST /ops/webhooks": {"url": "https://backend.example/weir"},
    "PATCH /ops/webhooks/{id}": {"enabled": False},
    "POST /ops/webhooks/{id}/rotate_secret": {"overlap_s": 3600},
    "POST /ops/webhooks/{id}/replay": {"after": 1200},
    "POST /ops/tree/restart": {"stream": 1, "actor": "PipelineActor"},
}


def prose(text):
    """One line."""
    return " ".join((text or "").split())


def cell(text):
    return prose(text).replace("|", "\\|")


def anchor(heading):
    return "".join(c for c in heading.lower() if c.isalnum() or c in "_- ").replace(" ", "-")


def named(schema):
    """The name of the object that a schema points at, if it does."""
    return schema.get("$ref", "").rpartition("/")[2] or None


def kind(schema, schemas):
    """A schema in words."""
    name = named(schema)
    if name:
        values = schemas[name].get("enum")
        return " or ".join(f"`{value}`" for value in values) if values else f"[{name}](#{anchor(name)})"
    if "oneOf" in schema:
        return " or ".join(kind(one, schemas) for one in schema["oneOf"])
    types = schema.get("type", "object")
    words = [types] if isinstance(types, str) else list(types)
    if words[0] == "array":
        items = schema.get("items")
        words[0] = f"array of {kind(items, schemas)}"
    if schema.get("maximum") is not None:
        words[0] += f" {schema.get('minimum', 0)} to {schema['maximum']}"
    if schema.get("maxLength") is not None:
        least = schema.get("minLength")
        words[0] += f" of {least} to {schema['maxLength']} characters" if least else f" of at most {schema['maxLength']} characters"
    return " or ".join(words)


def fields(schema, schemas):
    """Field, schema and whether it has to be there, of an object, what it is made of included."""
    if named(schema):
        schema = schemas[named(schema)]
    for part in schema.get("allOf", []):
        yield from fields(part, schemas)
    for name, field in schema.get("properties", {}).items():
        yield name, field, name in schema.get("required", [])


def field_table(schema, schemas, wanted=False, meanings=None):
    """`wanted`: for a body, where it counts what has to be sent. `meanings`: of fields that say nothing of themselves."""
    rows = []
    for name, field, required in fields(schema, schemas):
        words = kind(field, schemas)
        if wanted and required:
            words += ", required"
        if field.get("default") is not None:
            words += f", default `{json.dumps(field['default']).strip(chr(34))}`"
        meaning = field.get("description") or (meanings or {}).get(name)
        rows.append(f"| `{name}` | {cell(words)} | {cell(meaning)} |")
    return ["| field | type | meaning |", "|---|---|---|", *rows, ""]


def content(holder):
    """The schema of a body or an answer, if it has one."""
    return holder.get("content", {}).get("application/json", {}).get("schema")


def answer(response, schemas):
    """What an answer holds, with what is said of it."""
    schema = content(response)
    holds = kind(schema, schemas) if schema and schema != {"type": "object"} else ""
    said = prose(response.get("description"))
    return ": ".join(part for part in (holds, said) if part) or "object"


def example(operation, keyless, takes_body):
    method, path = operation.split(" ", 1)
    words = ["curl -s"]
    if method not in ("GET", "POST") or (method == "POST" and not takes_body):
        words.append(f"-X {method}")
    if not keyless:
        words.append('-H "$A"')
    if takes_body:
        words.append(f"-d '{json.dumps(BODIES[operation])}'")
    words.append("$W" + path.replace("{id}", "1"))
    return ["    " + " ".join(words), ""]


def chapter(operation, spec, schemas, keyless):
    lines = [f"### {operation}", "", prose(spec.get("summary")) + (" *No key.*" if keyless else ""), ""]
    if spec.get("description"):
        lines += [prose(spec["description"]), ""]
    # The id in a path explains itself.
    given = [p for p in spec.get("parameters", []) if p["in"] == "query"]
    if given:
        lines += ["| query | type | meaning |", "|---|---|---|"]
        lines += [f"| `{p['name']}` | {cell(kind({**p['schema'], 'type': 'integer'}, schemas))} | {cell(p.get('description'))} |" for p in given]
        lines.append("")
    body = content(spec.get("requestBody", {}))
    if body:
        if operation not in BODIES:
            sys.exit(f"api-reference: {operation} takes a body; give it an example in BODIES")
        known = {name for name, _, _ in fields(body, schemas)}
        strange = set(BODIES[operation]) - known
        if known and strange:
            sys.exit(f"api-reference: the example of {operation} has {sorted(strange)}, which its body does not have")
        if known:
            # What is written is read under the same name. A change may leave out what a creation may not.
            read = {name: field.get("description") for name, field, _ in fields(content(spec["responses"]["200"]) or {}, schemas)}
            lines += field_table(body, schemas, wanted=not operation.startswith("PATCH"), meanings=read)
    lines += example(operation, keyless, bool(body))
    lines += ["| answer | |", "|---|---|"]
    lines += [f"| {status} | {cell(answer(response, schemas))} |" for status, response in spec["responses"].items() if content(response) != COMMON]
    lines.append("")
    return lines


def objects(schemas, lines):
    """Those that are linked, and those that these link."""
    told = set()
    while True:
        text = "\n".join(lines)
        fresh = [name for name in sorted(schemas) if name not in told and f"](#{anchor(name)})" in text]
        if not fresh:
            return
        for name in fresh:
            told.add(name)
            lines += [f"### {name}", "", prose(schemas[name].get("description")), ""]
            lines += field_table(schemas[name], schemas)


def reference(document):
    schemas = document["components"]["schemas"]
    chapters = {tag: [] for tag in TAGS}
    for path, methods in document["paths"].items():
        for method, spec in methods.items():
            if HIDDEN & set(spec["tags"]):
                continue
            operation = f"{method.upper()} {path}"
            lines = chapter(operation, spec, schemas, spec.get("security") == [{}])
            chapters.setdefault(spec["tags"][0], []).append((operation, prose(spec.get("summary")), lines))
    lines = [HEAD]
    for operations in chapters.values():
        lines += ["| call | |", "|---|---|"] if lines == [HEAD] else []
        lines += [f"| [{operation}](#{anchor(operation)}) | {cell(summary.split('. ')[0].rstrip('.'))} |" for operation, summary, _ in operations]
    lines.append("")
    for tag, operations in chapters.items():
        lines += [f"## {tag.capitalize()}", ""]
        for _, _, chapter_lines in operations:
            lines += chapter_lines
    lines += ["## Objects", "", "A field that may be null is there all the same, unless it says otherwise.", ""]
    objects(schemas, lines)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    text = reference(document)
    target = ROOT / "docs" / "api.md"
    if "--check" in sys.argv[1:]:
        if not target.exists() or target.read_text() != text:
            sys.exit("api-reference: docs/api.md is out of date; run scripts/api-reference.py")
        print(f"api-reference: {sum(map(len, document['paths'].values()))} operations described")
    else:
        target.write_text(text)
