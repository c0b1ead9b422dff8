"""The page of references from references.bib: references.py [--check]

The text of the chapters names a source as readers say it, `Ouyang et al. (2022)`, so that it reads well in a notebook
too; the site links each such name to its entry here (finish_site.py). pandoc's citeproc writes the entries.
"""
import re, sys
from pathlib import Path
import nbformat

here = Path(__file__).resolve().parents[1]
PAGE, BIB = here/"23_references.ipynb", here/"references.bib"

def sources(bib=BIB):
    "{how the text names it: key} of a .bib file, such as {'Ouyang et al. (2022)': 'ouyang2022'}"
    found = {}
    for key, fields in re.findall(r"@\w+\{(\w+),(.*)\}\s*$", bib.read_text(encoding="utf8"), re.M):
        people = [x.split(",")[0].strip("{} ") for x in re.search(r"author = \{(.*?)\}, title", fields)[1].split(" and ")]
        if people[-1] == "others" or len(people) > 3: who = f"{people[0]} et al."
        else: who = " and ".join([", ".join(people[:-1]), people[-1]] if people[1:] else people)
        found[f"{who} ({re.search(r'year = {(.*?)}', fields)[1]})"] = key
    return found

def entries():
    "HTML paragraphs, each with the key of its source as anchor"
    import pypandoc
    html = pypandoc.convert_text('---\nnocite: "@*"\n---\n', "html", "markdown", extra_args=["--citeproc", f"--bibliography={BIB}", "--wrap=none"])
    found = re.findall(r'<div id="(ref-\w+)"[^>]*>\s*(.*?)\s*</div>', html, re.S)
    return "\n\n".join(f'<p id="{key}">{text}</p>' for key, text in found)

def page():
    nb = nbformat.read(PAGE, 4)
    at = next(i for i, c in enumerate(nb.cells) if c.source.startswith('<p id="ref-'))
    return nb, at

if __name__ == "__main__":
    nb, at = page()
    fresh = entries()
    if "--check" in sys.argv: sys.exit(None if nb.cells[at].source == fresh else "references.bib has changed: run nbs/_tools/references.py")
    nb.cells[at].source = fresh
    nbformat.write(nb, PAGE)
