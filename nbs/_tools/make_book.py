"""The whole book as one PDF and one EPUB: make_book.py FOLDER

pandoc reads the notebooks with the outputs that are stored in them; typst sets the PDF.
"""
import base64, json, re, sys, tempfile
from pathlib import Path
import pypandoc, typst, yaml

here = Path(__file__).resolve().parents[1]
SITE = "https://mnreward.github.io/mnreward/"

def order():
    "Pages as the sidebar has them, and the parts before which they stand"
    for entry in yaml.safe_load((here.parent/"_quarto.yml").read_text(encoding="utf8"))["website"]["sidebar"]["contents"]:
        if "section" in entry:
            for k, page in enumerate(entry["contents"]): yield page, entry["section"] if k == 0 else None
        else: yield entry["href"], None

def as_markdown(path, pictures):
    "One notebook as Markdown: text, shown code, stored text and pictures"
    page, parts = re.sub(r"^\d\d_", "", path.stem), []
    for n, cell in enumerate(json.loads(path.read_text(encoding="utf8"))["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown": parts.append(source); continue
        if cell["cell_type"] != "code" or re.search(r"^#\| (hide|default_exp|export)\b", source, re.M): continue
        if shown := re.sub(r"^#\|.*\n?", "", source, flags=re.M).strip(): parts.append(f"```python\n{shown}\n```")
        caption = re.search(r'^#\| fig-cap: "(.*)"', source, re.M)
        for k, out in enumerate(cell["outputs"]):
            data = out.get("data", {})
            if "image/png" in data:
                file = pictures/f"{page}-{n}-{k}.png"
                file.write_bytes(base64.b64decode("".join(data["image/png"])))
                parts.append(f"![{caption[1] if caption else ''}]({file})")
            elif "text/markdown" in data: parts.append("".join(data["text/markdown"]))
            elif text := "".join(out.get("text") or data.get("text/plain") or ""): parts.append(f"```\n{text.rstrip()}\n```")
    text = "\n\n".join(parts)
    text = re.sub(r'<a href="[^"]*colab[^>]*><img[^>]*></a>|<div class="play".*?</div>', "", text, flags=re.S)
    text = re.sub(r"^# (.*)$", rf"# \1 {{#page-{page}}}", text, count=1, flags=re.M)
    text = re.sub(r"\{#(eq|fig)-([\w-]+)\}", "", text)
    text = re.sub(r"@(eq|fig)-([\w-]+)", lambda m: f"the {'equation' if m[1] == 'eq' else 'figure'} above", text)
    text = text.replace(f"]({SITE}index.html", "](#page-index")
    text = re.sub(rf"\]\({re.escape(SITE)}(\w+)\.html(?:#[\w-]+)?\)", r"](#page-\1)", text)
    return re.sub(r"\]\((figures/|loss\.png)", lambda m: f"]({here}/{m[1]}", text)

def book(pictures):
    return "\n\n".join(f"{f'# {part} {{.unnumbered .part}}' if part else ''}\n\n{as_markdown(here/page, pictures)}" for page, part in order())

def make(folder, only=("epub", "pdf")):
    version = re.search(r"^version = (\S+)", (here.parent/"settings.ini").read_text(), re.M)[1]
    about = ["--metadata=title:Reward models from rankings of any length", "--metadata=author:The mnreward authors", f"--metadata=date:mnreward {version}", "--metadata=lang:en", "--toc", "--toc-depth=2"]
    with tempfile.TemporaryDirectory() as d:
        text = book(Path(d))
        if "epub" in only: pypandoc.convert_text(text, "epub", "markdown-implicit_figures", outputfile=str(folder/"mnreward.epub"), extra_args=[*about, "--mathml", "--split-level=1"])
        if "pdf" in only:
            source = Path(d)/"book.typ"
            pypandoc.convert_text(text, "typst", "markdown-implicit_figures", outputfile=str(source), extra_args=[*about, "--standalone", "-V", "papersize=a4", "-V", "fontsize=10pt"])
            typst.compile(str(source), output=str(folder/"mnreward.pdf"), root="/")

if __name__ == "__main__": make(Path(sys.argv[1]))
