"What an installed package promises"
import ast, re, subprocess, sys
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

def test_the_command_line_starts_without_torch_or_transformers():
    heavy = python("import mnreward.cli, sys; mnreward.cli.parser(); print(*[m for m in ('torch','transformers','datasets','pyarrow') if m in sys.modules])")
    assert not heavy

def test_loss_needs_torch_alone():
    block = "import sys\nfor m in ('transformers','datasets','matplotlib','accelerate','sentencepiece','pyarrow'): sys.modules[m] = None\n"
    python(block + "from mnreward.loss import kwise_loss")

def test_every_public_name_is_where_init_says():
    import mnreward
    for name in mnreward.__all__: assert getattr(mnreward, name) is not None
    with pytest.raises(AttributeError): mnreward.no_such_name

def test_every_module_is_exported_from_a_notebook():
    for f in (root/"mnreward").glob("[!_]*.py"):
        source = re.search(r"File to edit: \.\./(nbs/\S+\.ipynb)", f.read_text())
        assert source and (root/source[1]).exists(), f.name

def test_runtime_modules_import_no_development_package():
    dev = {"fastcore", "nbdev", "execnb", "pytest", "hypothesis", "scipy", "sklearn", "IPython"}
    for f in (root/"mnreward").glob("*.py"):
        if f.name == "_modidx.py": continue
        for node in ast.walk(ast.parse(f.read_text())):
            names = ([a.name for a in node.names] if isinstance(node, ast.Import)
                     else [node.module or ""] if isinstance(node, ast.ImportFrom) else [])
            assert not dev & {n.split(".")[0] for n in names}, f.name

def test_readme_links_to_files_that_exist():
    text = (root/"README.md").read_text()
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text): assert (root/link).exists(), link

def test_readme_gives_the_two_commands():
    text = (root/"README.md").read_text()
    assert "&& mnreward demo" in text and "pip install -e '.[dev]' && pytest" in text

@pytest.mark.parametrize("command", ["", *"train score evaluate rankings bench tldr demo".split()])
def test_no_help_loads_torch_transformers_or_datasets(command):
    code = (f"import sys; from mnreward.cli import main\ntry: main({[*command.split(), '--help']})\nexcept SystemExit: pass\n"
            "print(*[m for m in ('torch', 'transformers', 'datasets') if m in sys.modules], file=sys.stderr)")
    r = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert r.returncode == 0 and "usage: mnreward" in r.stdout and not r.stderr.split(), r.stderr
