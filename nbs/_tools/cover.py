"""Run the tests of chapters against the exported modules, and say which lines of these no test reaches.

usage: cover.py [--data FILE] [CHAPTER ...], then coverage combine and coverage report

A chapter exercises its own definitions. Here each exported cell is left out, and the names that it defines are
imported from the module in its stead: what is measured, and tested, is the module.
"""
import argparse, ast, json, os, subprocess, sys
from pathlib import Path

os.environ.update(MPLBACKEND="agg", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", IN_TEST="1")
here = Path(__file__).resolve().parent

def defined(source):
    "Names that the statements of an exported cell bind"
    names = []
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)): names.append(node.name)
        elif isinstance(node, ast.Assign):
            for t in node.targets: names += [x.id for x in ast.walk(t) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)]
        elif isinstance(node, ast.AnnAssign): names.append(node.target.id)
    return dict.fromkeys(names)

def run_chapter(notebook):
    "Execute its cells, with the module in the place of the exported ones"
    sys.path.insert(0, str(here))
    from mutate import code_cells
    text = json.loads(notebook.read_text(encoding="utf8"))
    module = next((line.split()[-1] for c in text["cells"] for line in "".join(c["source"]).splitlines() if line.startswith("#| default_exp")), None)
    ns = {"__name__": "__main__", "display": lambda *_: None}
    os.chdir(notebook.parent)
    for source, exported in code_cells(notebook):
        names = defined(source) if exported and module else {}
        if names: source = f"from mnreward.{module} import {', '.join(names)}"
        exec(compile(ast.parse(source), f"<{notebook.stem}>", "exec"), ns)

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("chapters", nargs="*")
    p.add_argument("--data", type=Path, default=here.parents[1]/".coverage", help="where coverage keeps what it saw")
    p.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.one: return run_chapter(a.one.resolve())
    options = ["--parallel-mode", f"--data-file={a.data}", f"--source={here.parents[1] / 'mnreward'}"]
    failed = []
    for notebook in sorted(here.parent.glob("[0-9]*.ipynb")):
        if a.chapters and not any(notebook.name.startswith(x) for x in a.chapters): continue
        done = subprocess.run([sys.executable, "-m", "coverage", "run", *options, __file__, "--one", notebook], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        print(notebook.stem, "ok" if done.returncode == 0 else done.stderr[-900:], flush=True)
        if done.returncode: failed.append(notebook.stem)
    if failed: sys.exit(f"against their modules these fail: {', '.join(failed)}")

if __name__ == "__main__": main()
