"""What a rendered site still lacks, done to its pages: finish_site.py FOLDER

Works on what Quarto wrote (`nbdev_docs`, then this) and on what its stand-in writes in the tests. Chapters, equations and
figures get their numbers; links on names of the package land on the definition or go away; links on this site become
relative; sources and terms are linked at first use; and what a keyboard, a screen reader and a phone need is added.
"""
import datetime, json, re, sys
from pathlib import Path
from bs4 import BeautifulSoup, NavigableString
from references import sources

here = Path(__file__).resolve().parents[1]
SITE = "https://mnreward.github.io/mnreward/"
# Words that are also names of the package: in prose they are words
WORDS = {"metadata", "summary", "measure", "train", "plan", "stage", "number", "groups", "counts", "cells", "table", "option", "seed", "given_values",
         "card", "sources", "hub", "presets", "amounts", "lengths", "shapes", "defaults", "progress", "template", "refuse", "commands",
         "positive", "numbers", "ratios", "estimates", "calibration", "baselines", "compare", "judgements", "divide", "components", "objective", "demo"}

def chapters():
    "{page: number} of the numbered notebooks"
    return {p.stem[3:]: int(p.stem[:2]) for p in here.glob("[0-9][0-9]_*.ipynb")}

def terms():
    "{term: anchor} of the glossary, the longest first"
    cells = json.loads((here/"22_glossary.ipynb").read_text(encoding="utf8"))["cells"]
    text = next("".join(c["source"]) for c in cells if "".join(c["source"]).startswith("## Terms"))
    found = re.findall(r"^\| \[([^\]]+)\]", text, re.M)
    return {t: "term-" + re.sub(r"\W+", "-", t.lower()) for t in sorted(found, key=len, reverse=True)}

def new(page, name, text="", **attrs):
    tag = page.new_tag(name, attrs={k.rstrip("_").replace("_", "-"): v for k, v in attrs.items()})
    if text: tag.string = text
    return tag

def relative_links(page):
    for a in page.find_all("a", href=True):
        if a["href"].startswith(SITE): a["href"] = a["href"][len(SITE):] or "index.html"

def define_anchors(page):
    "An id before each listing that defines a name: `#kwise_loss`"
    known = {x["id"] for x in page.find_all(id=True)}
    for listing in page.select("pre > code"):
        if "python" not in " ".join(listing.get("class", []) + listing.parent.get("class", [])): continue
        for name in re.findall(r"^(?:def|class) (\w+)", listing.get_text(), re.M):
            anchor = name.lower()
            if anchor in known: continue
            known.add(anchor)
            at = listing.parent
            while at.parent.name == "div" and not at.parent.get("id", "").startswith("quarto") and "sourceCode" in " ".join(at.parent.get("class", [])): at = at.parent
            at.insert_before(new(page, "span", id=anchor, class_="definition"))

def symbol_links(page, anchors, name):
    "A link on a name in code type lands on its definition, or is none"
    for a in page.select("a[href*='#']"):
        if a.find("code") is None or a.get_text() != a.find("code").get_text(): continue
        where, _, anchor = a["href"].partition("#")
        target, word = where or f"{name}.html", a.get_text().strip("()")
        if not re.fullmatch(r"[\w.-]+\.html", target) or not re.fullmatch(r"[\w.]+", word): continue
        anchor = next((x for x in (anchor.lower(), anchor.lower().split(".")[0]) if x in anchors.get(target[:-5], ())), None)
        if anchor is None or word in WORDS: a.unwrap()
        else: a["href"] = f"{'' if target[:-5] == name else target}#{anchor}"

def number_chapters(page, name, numbers):
    for a in page.select("#quarto-sidebar a[href], .page-navigation a[href], nav.quarto-page-breadcrumbs a[href]"):
        n = numbers.get(a["href"].split("#")[0].split("/")[-1].removesuffix(".html"))
        spot = a.select_one(".menu-text, .nav-page-text") or a
        if n and not re.match(r"\s*(\d|[IVX]+ |Appendix)", spot.get_text()): spot.insert(0, NavigableString(f"{n} "))
    if (n := numbers.get(name)) and (title := page.select_one("h1.title")): title.insert(0, new(page, "span", f"{n} ", class_="chapter-number"))

def number_equations_and_figures(page, n):
    "Equation (3) of chapter 2 is (2.3), Figure 1 is Figure 2.1"
    if not n: return
    main = page.find("main")
    for text in list(main.find_all(string=re.compile(r"\\tag\{\d+\}"))): text.replace_with(re.sub(r"\\tag\{(\d+)\}", rf"\\tag{{{n}.\1}}", text))
    for text in list(main.find_all(string=re.compile(r"\b(Figure|Equation)[\s\xa0]\d+\b(?!\.\d)"))):
        if text.find_parent(["figcaption", "a"]) or "caption" in " ".join(sum((p.get("class", []) for p in text.parents), [])):
            text.replace_with(re.sub(r"\b(Figure|Equation)([\s\xa0])(\d+)\b", rf"\1\g<2>{n}.\3", text))

def equation_numbers(page):
    "{anchor: number} of the equations of a page, when they are numbered: an anchor holds its formula, or stands before it"
    tags = re.compile(r"\\tag\{([\d.]+)\}")
    formulas = {x["id"]: x.find(string=tags) or x.find_next(string=tags) for x in page.select('main [id^="eq-"]')}
    return {anchor: tags.search(text)[1] for anchor, text in formulas.items() if text}

def number_links_to_equations(page, equations):
    "Links to equations of other pages say which: the loss (2.5)"
    for a in page.select('main a[href*=".html#eq-"]'):
        target, anchor = a["href"].split("/")[-1].split(".html#")
        if n := equations.get(target, {}).get(anchor): a.append(f" ({n})")

def prose(page):
    "Pieces of running text: in paragraphs and lists, not in links, code, formulas or headings"
    for block in page.select("main p, main li"):
        for text in list(block.find_all(string=True)):
            if not text.find_parent(["a", "code", "pre", "h1", "h2", "h3", "h4", "script", "style", "math", "figcaption", "table"]) and not text.find_parent(class_=["math", "katex", "play", "references"]): yield text

def link_first(page, text, start, end, href, class_):
    before, word, after = text[:start], text[start:end], text[end:]
    link = new(page, "a", word, href=href, class_=class_)
    text.replace_with(NavigableString(before), link, NavigableString(after))

def link_sources(page):
    "Each author and year leads to its entry"
    known = sources()
    loose = {re.escape(k).replace(r"\ \(", r",?\s+\(?").replace(r"\)", ""): v for k, v in known.items()}
    for a in page.select("main a[href^=http]"):
        if key := known.get(" ".join(a.get_text().split())): a["href"], a["class"] = f"references.html#ref-{key}", ["cited"]
    pattern = re.compile("|".join(f"({x})" for x in loose))
    keys = list(loose.values())
    todo = list(prose(page))
    while todo:
        text = todo.pop()
        if m := pattern.search(text):
            end = m.end() + (text[m.end():m.end() + 1] == ")" and "(" in m[0])
            after = NavigableString(text[end:])
            text.replace_with(NavigableString(text[:m.start()]), new(page, "a", text[m.start():end], href=f"references.html#ref-{keys[m.lastindex - 1]}", class_="cited"), after)
            todo.append(after)

def link_terms(page):
    "The first use of a term of the glossary leads there"
    left = terms()
    for text in list(prose(page)):
        for term in list(left):
            if text.parent is None: break
            if m := re.search(rf"(?<![\w-]){re.escape(term)}(?![\w-])", text, 0 if term[0].isupper() else re.I):
                link_first(page, text, m.start(), m.end(), f"glossary.html#{left.pop(term)}", "term")
                break

def glossary_anchors(page):
    for cell in page.select("main td:first-child a"):
        if anchor := terms().get(cell.get_text()): cell.find_parent("td")["id"] = anchor

def contents_on_a_phone(page):
    toc, title = page.select_one("#TOC > ul, nav#TOC ul"), page.select_one("#title-block-header")
    if not toc or not title: return
    links = BeautifulSoup(str(toc), "html.parser").ul
    for x in links.find_all(True):
        for k in [k for k in x.attrs if k != "href"]: del x[k]
    box = new(page, "details", class_="contents-here")
    box.extend([new(page, "summary", "On this page"), links])
    title.insert_after(box)

def accessible(page):
    "What generators leave out: a way past the menus, names of buttons, tables that scroll inside themselves"
    if main := page.find("main"):
        main["id"] = main.get("id", "quarto-document-content")
        page.body.insert(0, new(page, "a", "Skip to the text", href=f"#{main['id']}", class_="skip"))
        main["tabindex"] = "-1"
    for n, nav in enumerate(page.find_all("nav")):
        if not nav.get("aria-label"): nav["aria-label"] = {"quarto-sidebar": "Chapters", "TOC": "On this page"}.get(nav.get("id"), "Path" if "breadcrumbs" in " ".join(nav.get("class", [])) else f"Menu {n + 1}")
    if (side := page.find(id="quarto-sidebar")) and side.name == "nav": side["aria-label"] = "Chapters"
    if (margin := page.find(id="quarto-margin-sidebar")) and margin.name == "div": margin["role"], margin["aria-label"] = "complementary", "On this page, and its source"
    crumbs = page.select("nav.quarto-page-breadcrumbs")
    for n, nav in enumerate(crumbs): nav["aria-label"] = "Path" if n == 0 else f"Path {n + 1}"
    for a in page.select("a[data-bs-toggle], a[role=navigation]"):
        a["role"] = "button"
        a["href"] = a.get("href") or "#"
        if not a.get_text(strip=True) and not a.get("aria-label"): a["aria-label"] = "Toggle section"
    for a in page.select(".quarto-color-scheme-toggle"): a["aria-label"], a["role"], a["href"] = "Toggle dark mode", "button", a.get("href") or "#"
    for button in page.find_all("button"):
        if not button.get_text(strip=True) and not button.get("aria-label"): button["aria-label"] = button.get("title") or "Menu"
    for i in page.select("i.bi"): i["aria-hidden"] = "true"
    for x in page.select("[aria-expanded]"):
        if x.name not in ("a", "button", "input", "summary"): del x["aria-expanded"]
    for t in page.select("main table"):
        if "table-scroll" in t.parent.get("class", []): continue
        box = t.wrap(new(page, "div", class_="table-scroll", tabindex="0", role="region"))
        box["aria-label"] = "Table: " + " ".join(t.get_text(" ", strip=True).split()[:6])
        for th in t.select("thead th"):
            if not th.get_text(strip=True): th.name = "td"
    for m in page.select("span.math.display"): m["tabindex"], m["role"], m["aria-label"] = "0", "group", "Formula"
    for img in page.select("main img"): img["loading"] = "lazy"

def fold_long_listings(page, lines=45):
    "A class of many lines opens on a click, and in print"
    for pre in page.select("main pre"):
        code = pre.find("code")
        if code is None or code.get_text().count("\n") < lines or pre.find_parent("details"): continue
        at = pre
        while at.parent.name == "div" and "sourceCode" in " ".join(at.parent.get("class", [])): at = at.parent
        name = re.search(r"^(?:class|def) (\w+)", code.get_text(), re.M)
        box = at.wrap(new(page, "details", class_="long-listing"))
        box.insert(0, new(page, "summary", f"Show the whole of {name[1] if name else 'the listing'} ({code.get_text().count(chr(10)) + 1} lines)"))

def say_when(page, downloads):
    "Date and, where they were made, the book as one file"
    if not (footer := page.select_one(".nav-footer-left, .nav-footer")): return
    footer.append(NavigableString(f", built {datetime.date.today()}"))
    for file in downloads: footer.extend([NavigableString(", "), new(page, "a", file.suffix[1:].upper(), href=file.name)])

def no_fonts_of_others(folder):
    "Themes import a font from another host: the reader's own system has one"
    for css in folder.rglob("*.css"):
        text = css.read_text(encoding="utf8")
        own = re.sub(r"""@import\s+(?:url\(\s*(["']?)https?://[^)"']*\1\s*\)|(["'])https?://[^"']*\2)\s*;?""", "", text)
        if own != text: css.write_text(own, encoding="utf8")

def finish(folder):
    no_fonts_of_others(folder)
    numbers = chapters()
    pages = {f.stem: BeautifulSoup(f.read_text(encoding="utf8"), "html.parser") for f in sorted(folder.glob("*.html"))}
    for page in pages.values():
        relative_links(page)
        define_anchors(page)
    anchors = {name: {x["id"] for x in page.find_all(id=True)} for name, page in pages.items()}
    for name, page in pages.items(): number_equations_and_figures(page, numbers.get(name))
    equations = {name: equation_numbers(page) for name, page in pages.items()}
    for name, page in pages.items():
        symbol_links(page, anchors, name)
        number_chapters(page, name, numbers)
        number_links_to_equations(page, equations)
        if name == "glossary": glossary_anchors(page)
        if name != "references": link_sources(page)
        if name in numbers and name not in ("glossary", "references", "solutions"): link_terms(page)
        contents_on_a_phone(page)
        fold_long_listings(page)
        accessible(page)
        say_when(page, [*folder.glob("mnreward.pdf"), *folder.glob("mnreward.epub")])
        (folder/f"{name}.html").write_text(str(page), encoding="utf8")

if __name__ == "__main__": finish(Path(sys.argv[1]))
