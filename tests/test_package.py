"What an installed package promises"
import ast, re, subprocess, sys
from configparser import ConfigParser
from pathlib import Path
import pytest

root = Path(__file__).parents[1]

def python(code):
    r = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert r.returncode == 0, r.stderr
    return r.stdout.split()

def test_import_mnreward_loads_nothing_heavy():
    heavy = python("import mnreward, sys; print(*[m for m in ('torch','transformers','datasets','numpy','matplotlib') if m in sys.modules])")
    assert not heavy

commands = "train score evaluate rankings bench tldr demo".split()

@pytest.mark.parametrize("argv", [["--help"], ["--version"], *([c, "--help"] for c in commands)], ids=" ".join)
def test_every_help_loads_neither_torch_nor_transformers_nor_datasets(argv):
    code = f"""import sys
from mnreward.cli import main
try: main({argv!r})
except SystemExit as stop: status = stop.code
heavy = [m for m in ('torch', 'transformers', 'datasets', 'pyarrow', 'matplotlib', 'sklearn', 'scipy') if m in sys.modules]
print('loaded', status, *heavy)"""
    assert python(code)[-2:] == ["loaded", "0"]

def test_the_command_line_has_these_commands():
    import mnreward.cli
    assert [*mnreward.cli.commands] == commands

def test_loss_needs_torch_alone():
    block = "import sys\nfor m in ('transformers','datasets','matplotlib','accelerate','sentencepiece','pyarrow'): sys.modules[m] = None\n"
    python(block + "from mnreward.loss import kwise_loss")

@pytest.mark.parametrize("modules", ["rankings", "files, mnreward.synthetic"])
def test_data_are_read_without_torch_and_what_it_brings(modules):
    code = f"import sys, mnreward.{modules}; print([m for m in ('torch', 'transformers', 'datasets', 'pyarrow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"

def test_every_public_name_is_where_init_says():
    import mnreward
    for name in mnreward.__all__: assert getattr(mnreward, name) is not None
    with pytest.raises(AttributeError): mnreward.no_such_name

def test_every_module_is_exported_from_a_notebook():
    for f in (root/"mnreward").glob("[!_]*.py"):
        source = re.search(r"File to edit: \.\./(nbs/\S+\.ipynb)", f.read_text())
        assert source and (root/source[1]).exists(), f.name

def imported(source):
    "(package, whether at the top of the module) of every import"
    tree = ast.parse(source)
    for node in ast.walk(tree):
        names = ([a.name for a in node.names] if isinstance(node, ast.Import)
                 else [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else [])
        for name in names: yield name.split(".")[0], node in tree.body

def test_runtime_modules_import_no_development_package_and_extras_only_inside_functions():
    dev, extras = {"fastcore", "nbdev", "execnb", "pytest", "hypothesis", "IPython"}, {"scipy", "sklearn", "choix", "peft", "trl"}
    for f in (root/"mnreward").glob("*.py"):
        if f.name == "_modidx.py": continue
        for name, at_top in imported(f.read_text()): assert name not in dev and not (at_top and name in extras), (f.name, name)

def test_the_book_has_an_extra_for_what_its_chapters_import():
    settings = ConfigParser(delimiters=["="])
    settings.read(root/"settings.ini")
    book, dev = (settings["DEFAULT"][f"{extra}_requirements"].split() for extra in ("book", "dev"))
    assert {re.split("[<>=]", package)[0] for package in book} >= {"scikit-learn", "scipy", "choix", "hypothesis"}
    assert {*book} <= {*dev}  # tests run the chapters

def test_readme_links_to_pages_and_files_that_exist_and_reads_outside_the_repository_too():
    text = (root/"README.md").read_text()
    links = re.findall(r"\]\(([^)#]+)", text)
    assert all(x.startswith("https://") for x in links)
    for link in links:
        if link.startswith(site := "https://mnreward.github.io/mnreward/"):
            page = link.removeprefix(site).removesuffix(".html")
            assert [*(root/"nbs").glob(f"[0-9][0-9]_{page}.ipynb")] or (root/f"nbs/{page}.ipynb").exists(), link
        if link.startswith(raw := "https://raw.githubusercontent.com/mnreward/mnreward/main/"): assert (root/link.removeprefix(raw)).is_file(), link
    assert not re.search(r"!\[\s*\]", text)  # pictures have words

def test_readme_gives_the_two_commands():
    text = (root/"README.md").read_text()
    assert "&& mnreward demo" in text and "pip install -e '.[dev]' && pytest" in text

def test_a_stored_output_may_differ_by_one_in_a_last_place_and_no_more(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1]/"nbs/_tools")
    from run_nbs import same
    assert same("{'a': 1.57, 'n': 3}", "{'a': 1.56, 'n': 3}") and same("0.10", "0.09") and same("text", "text")
    for fresh in "{'a': 1.55, 'n': 3}", "{'a': 1.57, 'n': 4}", "{'a': 1.6, 'n': 3}", "{'b': 1.57, 'n': 3}", "{'a': 1.57, 'n': 3} ": assert not same("{'a': 1.57, 'n': 3}", fresh)
