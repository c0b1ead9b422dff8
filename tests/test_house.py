"The rules of the house: every import downhill, nothing private across modules, no suite that spills over its line"
import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mnreward"
ORDER = ("preferences loss listwise rankings judgements files synthetic tokens collate backbone sharing model "
         "evaluation training scoring bench sft tldr cli").split()
MODULES = sorted(p for p in PACKAGE.glob("*.py") if p.stem not in ("__init__", "_modidx"))

# What breaks a rule today: may only shrink (an entry that is no longer needed fails)
KNOWN = set()
KNOWN_COUNTS = {}


def own_imports(tree):
    "(imported module, imported names, whether at top level) of every import of our own package"
    top = {id(n) for n in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            path = (node.module or "").split(".")
            names = [a.name for a in node.names]
            if node.level: path = ["mnreward", *[p for p in path if p]]
            if path[0] != "mnreward": continue
            if len(path) > 1: yield path[1], names, id(node) in top
            else: yield from ((name, [], id(node) in top) for name in names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                path = alias.name.split(".")
                if path[0] == "mnreward" and len(path) > 1: yield path[1], [], id(node) in top


def private(name): return name.startswith("_") and not name.startswith("__")


def violations(name, source):
    "Each broken import rule of one module, as a string"
    tree, broken = ast.parse(source), set()
    if name not in ORDER: return {f"{name}: not in the order of modules"}
    for module, names, at_top in own_imports(tree):
        if module not in ORDER: continue
        if module == "cli": broken.add(f"{name}: imports cli")
        elif ORDER.index(module) >= ORDER.index(name): broken.add(f"{name}: imports {module}, uphill")
        if not at_top and name != "cli": broken.add(f"{name}: imports {module} inside a function")
        broken |= {f"{name}: imports {module}.{n}" for n in names if private(n)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in ORDER and private(node.attr): broken.add(f"{name}: reads {node.value.id}.{node.attr}")
        if isinstance(node, ast.Name) and node.id == "patch_to": broken.add(f"{name}: patch_to")
    return broken


def spilled(source):
    "Lines of compound statements whose suite begins on the header's line and ends on a later one"
    lines = set()
    for node in ast.walk(ast.parse(source)):
        for field in ("body", "orelse", "finalbody"):
            suite = getattr(node, field, None)
            if not isinstance(suite, list) or not suite or isinstance(node, ast.Module): continue
            before = source.splitlines()[suite[0].lineno - 1].encode()[:suite[0].col_offset].decode()
            if before.strip() and suite[-1].end_lineno > suite[0].lineno and before.rstrip().endswith(":"):
                lines.add(suite[0].lineno)
    return sorted(lines)


def counts(path):
    source = path.read_text(encoding="utf-8")
    exported = source.partition("# %% ../nbs")[2]  # nbdev writes what is above
    return {"spilled": len(spilled(source)), "wide": sum(len(line) > 88 for line in exported.splitlines())}


def test_imports_go_downhill():
    found = set().union(*(violations(p.stem, p.read_text(encoding="utf-8")) for p in MODULES))
    assert not found - KNOWN, "\n".join(sorted(found - KNOWN))
    assert not KNOWN - found, "no longer needed: " + "; ".join(sorted(KNOWN - found))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_form(path): assert counts(path) == {"spilled": 0, "wide": 0, **KNOWN_COUNTS.get(path.stem, {})}


def test_editors_see_what_is_loaded_lazily():
    import mnreward
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert seen == mnreward._home
