"""Change one operator or number of a chapter's exported code at a time, and see whether the rest of the chapter notices.

usage: mutate.py [--most N] [--seed S] [--out FILE] CHAPTER[:NAME,NAME...] ...

A chapter is executed cell by cell. At an exported cell a child process is split off for each mutant of it, which
executes the changed cell in its stead and the rest of the chapter behind it: an error, a failed test or three minutes of
silence kill the mutant. Names after a colon leave out all other functions and classes; functions that draw (plot_...) are left out, as pictures
are judged by eye. What cannot be noticed, because it means the same, stands in equivalent.json with its reason.
"""
import argparse, ast, contextlib, copy, io, json, os, random, re, signal, sys, time, types
from pathlib import Path

os.environ.update(MPLBACKEND="agg", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", IN_TEST="1")
here = Path(__file__).resolve().parent
SECONDS = 180

COMPARE = {ast.Lt: [ast.LtE, ast.Gt], ast.LtE: [ast.Lt], ast.Gt: [ast.GtE, ast.Lt], ast.GtE: [ast.Gt], ast.Eq: [ast.NotEq],
           ast.NotEq: [ast.Eq], ast.In: [ast.NotIn], ast.NotIn: [ast.In], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is]}
BINARY = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
          ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.MatMult: ast.Mult, ast.Pow: ast.Mult}
NAMES = dict(min="max", max="min", any="all", all="any", minimum="maximum", maximum="minimum", argmin="argmax", argmax="argmin",
             sorted="list", floor="ceil", cumsum="array", abs="float", left="right", right="left", softmax="log_softmax")

def variants(node):
    "What may stand in the place of a node"
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            for other in COMPARE.get(type(op), []):
                yield ast.Compare(node.left, [*node.ops[:i], other(), *node.ops[i + 1:]], node.comparators)
    elif isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        if not (isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)):
            yield ast.BinOp(node.left, BINARY[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        yield node.values[0]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub, ast.Invert)): yield node.operand
    elif isinstance(node, ast.Constant):
        v = node.value
        if isinstance(v, bool): yield ast.Constant(not v)
        elif isinstance(v, (int, float)):
            yield from (ast.Constant(x) for x in [v + 1] + [v - 1] * (v > 1) if x != v)  # 1e30 + 1 is 1e30
    elif isinstance(node, ast.Attribute) and node.attr in NAMES: yield ast.Attribute(node.value, NAMES[node.attr], node.ctx)
    elif isinstance(node, ast.Name) and node.id in NAMES and isinstance(node.ctx, ast.Load): yield ast.Name(NAMES[node.id], node.ctx)
    elif isinstance(node, ast.If) and not isinstance(node.test, ast.Compare):
        yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    elif isinstance(node, ast.IfExp): yield ast.IfExp(node.test, node.orelse, node.body)

SILENT = ast.Raise, ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.arg, ast.AnnAssign

def sites(node, path=()):
    "(path, node) of all that may be changed: no messages, annotations or docstrings"
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list") or isinstance(node, SILENT): continue
        for i, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST): continue
            here = (*path, (field, i if isinstance(value, list) else None))
            yield here, child
            yield from sites(child, here)

def replaced(tree, path, new):
    tree = copy.deepcopy(tree)
    at = tree
    for field, i in path[:-1]: at = getattr(at, field) if i is None else getattr(at, field)[i]
    field, i = path[-1]
    if i is None: setattr(at, field, new)
    else: getattr(at, field)[i] = new
    return ast.fix_missing_locations(tree)

def mutants_of(source, only):
    "(name of the definition, what was there, what is there now, changed tree)"
    tree = ast.parse(source)
    for path, node in sites(tree):
        top = tree.body[path[0][1]]
        name = getattr(top, "name", "")
        if not name or name.startswith("plot_") or only and name not in only: continue
        for new in variants(node):
            yield name, ast.unparse(node)[:90], ast.unparse(new)[:90], replaced(tree, path, new)

def code_cells(notebook):
    cells = []
    for cell in json.loads(notebook.read_text(encoding="utf8"))["cells"]:
        source = "".join(cell["source"])
        marks = [x[2:].strip() for x in source.splitlines() if x.startswith("#|")]
        if cell["cell_type"] != "code" or any(x.startswith(("eval: false", "default_exp", "slow", "cuda")) for x in marks): continue
        lines = [re.sub(r"^(\s*)(?:%\w|!).*", r"\1pass", x) for x in source.splitlines()]  # what the shell is told
        cells.append(("\n".join(lines), any(x.split()[0] in ("export", "exports", "exporti") for x in marks if x)))
    return cells

def run(cells, ns):
    for source, _ in cells:
        tree = ast.parse(source)
        exec(compile(tree, "<cell>", "exec"), ns)

def child(tree, rest, ns):
    "Execute a mutant and what follows in a process of its own: did nobody notice?"
    pid = os.fork()
    if pid: return pid
    os.setsid()  # killed with all that it starts
    status = 0
    try:
        sink = open(os.devnull, "w")
        os.dup2(sink.fileno(), 1), os.dup2(sink.fileno(), 2)
        sys.stdout = sys.stderr = sink
        exec(compile(tree, "<mutant>", "exec"), ns)
        run(rest, ns)
    except BaseException: status = 1
    finally: os._exit(status)

def examine(chapter, only, most, seed, jobs):
    "(number of mutants, survivors, seconds) of a chapter"
    notebook, = here.parent.glob(f"{chapter}*.ipynb")
    cells, start = code_cells(notebook), time.time()
    found = [(i, *m) for i, (source, exported) in enumerate(cells) if exported for m in mutants_of(source, only)]
    random.Random(seed).shuffle(found)
    chosen = found[:most]
    main = sys.modules["__main__"] = types.ModuleType("__main__")  # where pickle looks for the chapter's classes
    main.display = lambda *_: None
    ns, survivors, running = vars(main), [], {}
    def reap():
        "Wait for one to end; silence kills, by nothing that a chapter can set anew"
        while not (ended := os.waitpid(-1, os.WNOHANG))[0]:
            for pid, (_, deadline) in running.items():
                if time.time() > deadline: os.killpg(pid, signal.SIGKILL)
            time.sleep(.02)
        m, _ = running.pop(ended[0])
        if ended[1] == 0: survivors.append(m[1:4])
    os.chdir(notebook.parent)
    for i, (source, _) in enumerate(cells):
        for m in (m for m in chosen if m[0] == i):
            while len(running) >= jobs: reap()
            running[child(m[4], cells[i + 1:], ns)] = m, time.time() + SECONDS
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            run(cells[i:i + 1], ns)
    while running: reap()
    return dict(mutants=len(chosen), of=len(found), survivors=sorted(survivors), seconds=round(time.time() - start))

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("chapters", nargs="+")
    p.add_argument("--most", type=int, default=150)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    p.add_argument("--out", type=Path)
    a = p.parse_args()
    equivalent = json.loads((here / "equivalent.json").read_text(encoding="utf8"))
    results = {}
    for chapter in a.chapters:
        chapter, _, only = chapter.partition(":")
        read, write = os.pipe()
        if not (pid := os.fork()):  # each chapter in a process of its own
            found = examine(chapter, {*only.split(",")} - {""}, a.most, a.seed, a.jobs)
            os.write(write, json.dumps(found).encode())
            os._exit(0)
        os.close(write)
        with open(read, "rb") as f: text = f.read()
        if os.waitpid(pid, 0)[1] or not text: sys.exit(f"{chapter}: the chapter does not run as it is")
        found = json.loads(text)
        same = equivalent.get(chapter, [])
        known = [m for m in found["survivors"] if any(m == x[:3] for x in same)]
        found["survivors"] = [m for m in found["survivors"] if m not in known]
        found |= dict(equivalent=len(known), killed=found["mutants"] - len(known) - len(found["survivors"]))
        results[chapter] = found
        n = found["mutants"] - len(known)
        print(f"{chapter}: {found['killed']} of {n} killed ({found['killed'] / max(n, 1):.1%}), {len(known)} equivalent, {found['seconds']} s", flush=True)
        for name, was, now in found["survivors"]: print(f"    {name}: {was}  ->  {now}", flush=True)
    if a.out: a.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf8")

if __name__ == "__main__": main()
