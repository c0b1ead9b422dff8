"The rules of the house: every import downhill, nothing private across modules, no suite that spills, nothing called that a reader cannot see"
import ast
import importlib.util
import json
import re
from pathlib import Path

import pytest

import mnreward

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT/"mnreward"
ORDER = ("preferences loss listwise rankings judgements files synthetic tokens collate backbone sharing model "
         "evaluation training scoring bench sft tldr cli").split()
MODULES = sorted(p for p in PACKAGE.glob("*.py") if p.stem not in ("__init__", "_modidx"))
NOTEBOOKS = sorted((ROOT/"nbs").glob("[0-9]*.ipynb"))

spec = importlib.util.spec_from_file_location("house", ROOT/"nbs/_tools/house.py")
house = importlib.util.module_from_spec(spec)
spec.loader.exec_module(house)


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
            else:  # a module, or a name that loads from one
                for name in names: yield mnreward._home.get(name, name), [], id(node) in top
        elif isinstance(node, ast.Import):
            for alias in node.names:
                path = alias.name.split(".")
                if path[0] == "mnreward" and len(path) > 1: yield path[1], [], id(node) in top


def private(name): return name.startswith("_") and not name.startswith("__")


def violations(name, source):
    "Each broken import rule of one module, as a string"
    tree, broken, rooms = ast.parse(source), set(), {}
    if name not in ORDER: return {f"{name}: not in the order of modules"}
    for module, names, at_top in own_imports(tree):
        if module.startswith("__"): continue  # __version__
        if module == "cli": broken.add(f"{name}: imports cli")
        elif module not in ORDER: broken.add(f"{name}: imports {module}, which is no room")
        elif ORDER.index(module) >= ORDER.index(name): broken.add(f"{name}: imports {module}, uphill")
        if not at_top and name != "cli": broken.add(f"{name}: imports {module} inside a function")
        broken |= {f"{name}: imports {module}.{n}" for n in names if private(n)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            rooms |= {a.asname: a.name.split(".")[1] for a in node.names if a.asname and a.name.startswith("mnreward.")}
        if isinstance(node, ast.ImportFrom) and node.module in (None, "mnreward"):
            rooms |= {a.asname or a.name: a.name for a in node.names if a.name in ORDER}
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and private(node.attr):
            if node.value.id in rooms: broken.add(f"{name}: reads {rooms[node.value.id]}.{node.attr}")
        if isinstance(node, ast.Name) and node.id == "patch_to": broken.add(f"{name}: patch_to")
    return broken


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_imports_go_downhill(path): assert not violations(path.stem, path.read_text(encoding="utf8"))


@pytest.mark.parametrize("source, said", [
    ("from .cli import main", "imports cli"), ("from .training import train", "training, uphill"), ("from mnreward import train", "training, uphill"),
    ("from .loss import _x", "loss._x"), ("def f():\n    from .loss import kwise_loss", "loss inside a function"),
    ("import mnreward.loss as engine\nengine._x", "reads loss._x"), ("from . import attic", "attic, which is no room")])
def test_the_guard_sees_each_kind_of_fault(source, said):
    found = violations("model", source)
    assert len(found) == 1 and said in found.pop()


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_modules_have_no_spilled_suite_and_no_wide_line(path):
    source = path.read_text(encoding="utf8")
    exported = source.partition("# %% ../nbs")[2]  # nbdev writes what is above
    assert house.spilled(source) == 0 and not [line for line in exported.splitlines() if len(line) > 88]


def test_a_spilled_suite_is_seen():
    assert house.spilled("if a: raise E(\n    1)\n") == 1 and house.spilled("if a: f()\nelse:\n    g(\n        1)\n") == 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_reader_of_the_page_sees_what_it_calls(path):
    assert not house.chapter(path)[4]
    cells = json.loads(path.read_text(encoding="utf8"))["cells"]
    assert not [c["id"] for c in cells if c["cell_type"] == "code" and house.spilled("".join(c["source"]))]


def test_a_hidden_helper_is_seen(tmp_path):
    cells = [dict(cell_type="code", source=s, outputs=[]) for s in ("#| hide\ndef shown(x): return x", "shown(1)")]
    (tmp_path/"x.ipynb").write_text(json.dumps(dict(cells=cells)))
    assert house.chapter(tmp_path/"x.ipynb")[4] == {"shown"}


def test_editors_see_what_is_loaded_lazily():
    tree = ast.parse((PACKAGE/"__init__.py").read_text(encoding="utf8"))
    block = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert seen == mnreward._home


def prose(notebook):
    "The markdown of a notebook"
    cells = json.loads(notebook.read_text())["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def test_every_exercise_is_answered_under_its_name():
    asked = {p.stem[3:]: re.findall(r"(?m)^### (\d\. .+)$", prose(p)) for p in NOTEBOOKS if "solutions" not in p.stem}
    answers = re.split(r"(?m)^## \[.*?mnreward/(\w+)\.html\)", prose(ROOT/"nbs/21_solutions.ipynb"))[1:]
    answered = {slug: re.findall(r"(?m)^### (.+)$", text) for slug, text in zip(answers[::2], answers[1::2])}
    assert answered == {slug: titles for slug, titles in asked.items() if titles}
    assert sum(map(len, answered.values())) >= 70
    titles = {p.stem[3:]: re.search(r"(?m)^# (.+)$", prose(p))[1] for p in NOTEBOOKS}
    named = re.findall(r"(?m)^## \[(.*?)\]\(.*?mnreward/(\w+)\.html\)", prose(ROOT/"nbs/21_solutions.ipynb"))
    assert named == [(titles[slug], slug) for slug in answered]

def test_the_differences_in_readme_are_those_that_were_measured():
    largest = {}
    for ways in json.loads((ROOT/"nbs/results/other_tools.json").read_text())["largest"].values():
        for way, gap in ways.items(): largest[way] = max(largest.get(way, 0), gap)
    said = dict(re.findall(r"^\| (\S[^|]*?) \|.*\| (\d)e-0\d \|$", (ROOT/"README.md").read_text(), re.M))
    for tool, way in {"transformers": "right", "its pipeline": "pipeline", "RewardBench": "rewardbench", "sentence-transformers": "crossencoder", "peft": "peft"}.items(): assert said[tool] == f"{largest[way]:.0e}"[0], tool

def test_each_term_of_the_glossary_stands_in_the_chapter_that_it_links_to():
    text = {p.stem[3:]: "".join("".join(c["source"]) for c in json.loads(p.read_text(encoding="utf8"))["cells"]).lower() for p in NOTEBOOKS}
    links = re.findall(r"\| \[([^\]]+)\]\(https://mnreward.github.io/mnreward/(\w+)\.html\)", prose(ROOT/"nbs/22_glossary.ipynb"))
    assert len(links) > 40
    for term, chapter in links:
        for word in term.lower().split(", "): assert word in text[chapter], f"{word} is not in {chapter}"

def test_the_page_of_references_is_that_of_the_bib_file_and_each_source_is_mentioned(monkeypatch):
    monkeypatch.syspath_prepend(ROOT/"nbs/_tools")
    import references
    nb, at = references.page()
    assert nb.cells[at].source == references.entries()
    text = " ".join(prose(p) for p in [*NOTEBOOKS, ROOT/"nbs/start.ipynb"])
    for name, key in references.sources().items():
        who, year = name[:-7], name[-5:-1]
        assert re.search(rf"{re.escape(who)}(?:'s)?,? \(?{year}", text), f"{key}: no chapter names {name}"

def test_notebooks_install_the_version_of_this_page_where_colab_runs_them():
    version = re.search(r"^version = (\S+)", (ROOT/"settings.ini").read_text(), re.M)[1]
    for p in [*NOTEBOOKS, ROOT/"nbs/start.ipynb"]:
        if p.stem == "23_references": continue
        cells = ["".join(c["source"]) for c in json.loads(p.read_text(encoding="utf8"))["cells"]]
        code = [x for x in cells if "google.colab" in x]
        assert len(code) == 1 and f'%pip install -q "mnreward[book]=={version}"' in code[0], p.stem
        if p.stem != "22_glossary": assert any(f"/blob/v{version}/nbs/{p.name}" in x and 'alt="Open in Colab"' in x for x in cells), p.stem

def test_the_version_is_the_same_wherever_it_stands():
    version = re.search(r"^version = (\S+)", (ROOT/"settings.ini").read_text(), re.M)[1]
    assert mnreward.__version__ == version
    for file in "CITATION.cff", "_quarto.yml", "nbs/23_references.ipynb": assert version in (ROOT/file).read_text(encoding="utf8"), file
