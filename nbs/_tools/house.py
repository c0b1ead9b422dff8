"""Figures of the house: lines by module, circles, imports inside functions, hidden code, cells, undefined names, spilled suites.

usage: house.py [FOLDER of a checkout]

Names are counted as a reader of the rendered pages sees them: a name that visible code calls and that is neither
defined in a visible cell, nor imported in any cell, nor built in.
"""
import ast, builtins, json, re, statistics, sys
from pathlib import Path

def code_of(cell): return "".join(cell["source"])
def directives(source): return set(re.findall(r"^#\|\s*(\S+)", source, re.M))
def parsed(source):
    plain = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())
    try: return ast.parse(plain)
    except SyntaxError: return ast.parse("")

def own_imports(tree):
    "(module of the package, node) of every import of our own package"
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            path = (node.module or "").split(".")
            if node.level and node.module: yield path[0], node
            elif path[0] == "mnreward" and len(path) > 1: yield path[1], node

def circles(graph):
    "Pairs of modules that reach each other"
    def reach(a, seen):
        for b in set(graph.get(a, ())) - seen:
            seen.add(b)
            reach(b, seen)
        return seen
    far = {a: reach(a, set()) for a in graph}
    return sorted((a, b) for a in far for b in far[a] if a < b and a in far.get(b, ()))

def spilled(source):
    "Suites that begin on the line of their header and end on a later one"
    count, lines = 0, source.splitlines()
    for node in ast.walk(parsed(source)):
        for field in ("body", "orelse", "finalbody"):
            suite = getattr(node, field, None)
            if not isinstance(suite, list) or not suite or isinstance(node, ast.Module): continue
            before = lines[suite[0].lineno - 1].encode()[:suite[0].col_offset].decode().rstrip()
            count += before.endswith(":") and suite[-1].end_lineno > suite[0].lineno
    return count

def modules(root):
    files = sorted(p for p in (root/"mnreward").glob("*.py") if p.stem not in ("__init__", "_modidx"))
    trees = {p.stem: ast.parse(p.read_text(encoding="utf8")) for p in files}
    graph = {name: {m for m, _ in own_imports(tree)} - {name} for name, tree in trees.items()}
    inside, own = 0, 0
    for tree in trees.values():
        mine = {id(node) for _, node in own_imports(tree)}
        for f in ast.walk(tree):
            if not isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef)): continue
            found = [x for x in ast.walk(f) if isinstance(x, (ast.Import, ast.ImportFrom))]
            inside, own = inside + len(found), own + sum(id(x) in mine for x in found)
    lines = {p.stem: len(p.read_text(encoding="utf8").splitlines()) for p in files}
    return dict(lines=lines, all_lines=sum(lines.values()), circles=circles(graph), imports_in_functions=inside,
                of_our_own=own, spilled_suites=sum(spilled(p.read_text(encoding="utf8")) for p in files))

def chapter(path):
    "(lines of code cells, were they followed by a value, exported lines, hidden ones of these, undefined names)"
    cells = [c for c in json.loads(path.read_text(encoding="utf8"))["cells"] if c["cell_type"] == "code"]
    sizes, shown, exported, hidden, known, called = [], [], 0, 0, set(dir(builtins)), set()
    for cell in cells:
        source = code_of(cell)
        flags, tree = directives(source), parsed(source)
        size = sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in source.splitlines())
        if not size: continue
        visible = not flags & {"hide", "export", "exporti", "default_exp"}
        only_imports = all(isinstance(x, (ast.Import, ast.ImportFrom)) for x in tree.body)
        if flags & {"export", "exports", "exporti"} and not only_imports:
            exported, hidden = exported + size, hidden + size*(not visible)
        for x in ast.walk(tree):  # imports are looked up, wherever they stand
            if isinstance(x, (ast.Import, ast.ImportFrom)): known |= {(a.asname or a.name).split(".")[0] for a in x.names}
        if not visible: continue
        sizes.append(size)
        shown.append(bool(cell.get("outputs")))
        for x in ast.walk(tree):
            if isinstance(x, (ast.FunctionDef, ast.ClassDef)): known.add(x.name)
            if isinstance(x, ast.arg): known.add(x.arg)
            if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store): known.add(x.id)
            if isinstance(x, ast.Call) and isinstance(x.func, ast.Name): called.add(x.func.id)
    return sizes, shown, exported, hidden, called - known

def chapters(root):
    found = {p.stem: chapter(p) for p in sorted((root/"nbs").glob("[0-9]*.ipynb"))}
    sizes, shown = ([x for f in found.values() for x in f[k]] for k in (0, 1))
    exported, hidden = (sum(f[k] for f in found.values()) for k in (2, 3))
    return dict(median_cell=statistics.median(sizes), with_a_value=f"{sum(shown)/len(shown):.0%}",
                hidden_code=f"{hidden/max(1, exported):.0%}", undefined={k: sorted(f[4]) for k, f in found.items() if f[4]},
                undefined_names=sum(len(f[4]) for f in found.values()),
                spilled_in_cells=sum(spilled(code_of(c)) for p in (root/"nbs").glob("[0-9]*.ipynb")
                                     for c in json.loads(p.read_text(encoding="utf8"))["cells"] if c["cell_type"] == "code"))

if __name__ == "__main__":
    root = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parents[2]
    for name, value in (modules(root) | chapters(root)).items(): print(f"{name:<22}{value}")
