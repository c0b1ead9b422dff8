"""Execute notebooks in fresh processes and store their outputs, or check the stored ones.

usage: run_nbs.py [--check] [--flags "slow cuda"] [--export] [NOTEBOOK ...]

`#| eval: false` and the test flags of settings.ini are honoured as nbdev does:
a flagged cell is skipped (its stored output stays) unless its flag is named.
--check writes nothing: it compares the stored text outputs of the cells that
run with a fresh run, so that stale or invented outputs cannot land (a last
decimal may differ by one).
--export also writes the module of each notebook that ran.
"""
import argparse, difflib, os, re, subprocess, sys, time
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

def run_one(fn, flags, check, export):
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
    with working_directory(fn.parent):
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
    if check: return
    clean_nb(nb)
    write_nb(nb, fn)
    if export: nb_export(fn, get_config().lib_path)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("notebooks", nargs="*", type=Path)
    p.add_argument("--check", action="store_true")
    p.add_argument("--export", action="store_true")
    p.add_argument("--flags", default="")
    p.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    root = Path(__file__).resolve().parents[2]
    if a.one:
        sys.path.insert(0, str(root))
        return run_one(a.notebooks[0].resolve(), set(a.flags.split()), a.check, a.export)
    failed = 0
    for fn in a.notebooks or sorted((root/"nbs").glob("[!_]*.ipynb")):
        start = time.time()
        opts = ["--flags", a.flags] + ["--check"]*a.check + ["--export"]*a.export
        r = subprocess.run([sys.executable, __file__, "--one", *opts, str(fn.resolve())],
                           cwd=root, capture_output=True, text=True)
        failed += bool(r.returncode)
        print(fn.name, "ok" if not r.returncode else "FAILED", f"{time.time()-start:.1f} s", flush=True)
        if r.returncode: print(r.stdout[-4000:], r.stderr[-8000:], sep="\n", flush=True)
    sys.exit(bool(failed))

if __name__ == "__main__": main()
