"""Execute notebooks in fresh processes and store their outputs, or check the stored ones.

usage: run_nbs.py [--check] [--flags "slow cuda"] [--export] [NOTEBOOK ...]

`#| eval: false` and the test flags of settings.ini are honoured as nbdev does:
a flagged cell is skipped (its stored output stays) unless its flag is named.
--check writes nothing: it compares the stored text outputs of the cells that
run with a fresh run, so that stale or invented outputs cannot land (a last
decimal may differ by one).
--run writes and compares nothing.
--alone runs it as Colab does: copied by itself into an empty folder, where no
package can be imported but this one, its extra `book`, ipykernel and theirs.
--export also writes the module of each notebook that ran.
"""
import argparse, difflib, os, re, shutil, subprocess, sys, tempfile, time
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["IN_TEST"] = "1"

def texts(outputs):
    "The text that a reader sees below one cell: streams and plain-text results, pictures left out"
    for o in outputs:
        data = o.get("data", {})
        if "image/png" in data: continue
        yield "".join(o.get("text") or data.get("text/markdown")
                      or data.get("text/plain") or o.get("evalue") or "").rstrip()

def same(before, after):
    "Equal texts, but that a decimal may differ by one in its last place: a sum on another processor rounds to the other side"
    number = r"\d+\.\d+"
    if re.split(number, before) != re.split(number, after): return False
    def close(a, b):
        places = len(a.split(".")[1])
        return len(b.split(".")[1]) == places and abs(float(a) - float(b)) < 1.5 * 10**-places
    return all(map(close, re.findall(number, before), re.findall(number, after)))

def needed(*wanted):
    "Names of the distributions that these requirements bring, extras such as `mnreward[book]` included"
    from importlib.metadata import PackageNotFoundError, requires
    from packaging.requirements import Requirement
    done, todo = set(), [Requirement(x) for x in wanted]
    while todo:
        one = todo.pop()
        key = (re.sub(r"[-_.]+", "-", one.name).lower(), frozenset(one.extras))
        if key in done: continue
        try: more = [Requirement(x) for x in requires(one.name) or ()]
        except PackageNotFoundError: continue
        done.add(key)
        todo += [x for x in more if x.marker is None or any(x.marker.evaluate({"extra": e}) for e in (*one.extras, ""))]
    return {name for name, _ in done}

def hide_packages_but(*wanted):
    "Nothing is found any more but the standard library and what these requirements bring"
    from importlib.machinery import PathFinder
    from importlib.metadata import packages_distributions
    names = needed(*wanted)
    hidden = {top for top, of in packages_distributions().items() if not {re.sub(r"[-_.]+", "-", x).lower() for x in of} & names}
    class Shown(PathFinder):
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            if name.partition(".")[0] not in hidden: return PathFinder.find_spec(name, path, target)
    sys.meta_path[sys.meta_path.index(PathFinder)] = Shown
    return hidden

def run_one(fn, flags, check, export, run, alone=False):
    from execnb.nbio import read_nb, write_nb
    from execnb.shell import CaptureShell
    from fastcore.all import working_directory
    from nbdev.clean import clean_nb
    from nbdev.config import get_config
    from nbdev.export import nb_export
    from nbdev.process import NBProcessor
    skipped = set(get_config().tst_flags.split()) - flags
    nb = read_nb(fn)
    cells = NBProcessor(fn, rm_directives=False, process=True).nb.cells
    shell, stale = CaptureShell(fn, mpl_format="png"), []
    folder = fn.parent
    if alone:
        empty = tempfile.TemporaryDirectory()
        shutil.copy(fn, folder := Path(empty.name))
        hide_packages_but("mnreward[book]", "ipykernel", "setuptools")
    with working_directory(folder):
        for old, cell in zip(nb.cells, cells):
            if cell.cell_type != "code": continue
            off = cell.directives_.get("eval:", [""])[0].lower() == "false"
            if off or skipped & cell.directives_.keys(): continue
            before = list(texts(old.get("outputs", [])))
            cell.outputs = []
            shell.cell(cell)
            if shell.exc and "raises-exception" not in old.metadata.get("tags", []):
                sys.exit(shell.prettytb(fname=fn))
            old.outputs = cell.get("outputs", [])
            if not check: continue
            clean_nb(nb)
            after = list(texts(old.outputs))
            if len(before) != len(after) or not all(map(same, before, after)):
                stale += [f"cell {old.id}:", *difflib.unified_diff(
                    "\n".join(before).splitlines(), "\n".join(after).splitlines(),
                    "stored", "fresh", lineterm="", n=1)]
    if stale: sys.exit("\n".join(stale))
    if check or run: return
    clean_nb(nb)
    write_nb(nb, fn)
    if export: nb_export(fn, get_config().lib_path)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("notebooks", nargs="*", type=Path)
    p.add_argument("--check", action="store_true")
    p.add_argument("--run", action="store_true")
    p.add_argument("--alone", action="store_true")
    p.add_argument("--export", action="store_true")
    p.add_argument("--flags", default="")
    p.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    root = Path(__file__).resolve().parents[2]
    if a.one:
        sys.path.insert(0, str(root))
        return run_one(a.notebooks[0].resolve(), set(a.flags.split()), a.check, a.export, a.run, a.alone)
    failed = 0
    for fn in a.notebooks or sorted((root/"nbs").glob("[!_]*.ipynb")):
        start = time.time()
        opts = ["--flags", a.flags] + ["--check"]*a.check + ["--export"]*a.export + ["--run"]*a.run + ["--alone"]*a.alone
        r = subprocess.run([sys.executable, __file__, "--one", *opts, str(fn.resolve())],
                           cwd=root, capture_output=True, text=True)
        failed += bool(r.returncode)
        print(fn.name, "ok" if not r.returncode else "FAILED", f"{time.time()-start:.1f} s", flush=True)
        if r.returncode: print(r.stdout[-4000:], r.stderr[-8000:], sep="\n", flush=True)
    sys.exit(bool(failed))

if __name__ == "__main__": main()
