"""The rendered site in a headless browser: what a reader with a phone, a dark screen, a keyboard or a screen reader meets

MNREWARD_SITE names the folder of the site, rendered and finished (nbs/_tools/finish_site.py), MNREWARD_AXE a file axe.min.js.
"""
import contextlib, functools, gzip, http.server, os, re, shutil, threading
from collections import Counter
from pathlib import Path
import pytest

SITE = os.environ.get("MNREWARD_SITE")
pytestmark = pytest.mark.skipif(not SITE, reason="MNREWARD_SITE names no rendered site")
NAMES = sorted(x.stem for x in Path(SITE).glob("*.html")) if SITE else []
PAGES = [x for x in NAMES if x != "404"]
LOOKS = [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")]

@pytest.fixture(scope="module")
def soups():
    bs4 = pytest.importorskip("bs4")
    return {x: bs4.BeautifulSoup((Path(SITE)/f"{x}.html").read_text(encoding="utf8"), "html.parser") for x in NAMES}

@pytest.fixture(scope="module")
def address():
    "The site on a port of its own, below the path that it is published at"
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_): pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()

@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api")
    own = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync.sync_playwright() as p:
        try: chromium = p.chromium.launch(executable_path=own, args=["--no-sandbox"])
        except sync.Error as e: pytest.skip(f"no Chromium: {str(e).splitlines()[0]}")
        yield chromium
        chromium.close()

AXE = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations.map(
    v => [v.impact, v.id, v.nodes.length, v.nodes[0].html.slice(0, 160)])"""
SIDEWAYS = "() => document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
TAGS_OVER_FORMULAS = """() => [...document.querySelectorAll('.katex-display .katex-html')].filter(k => {
    const tag = k.querySelector('.tag, .katex-tag');
    if (!tag) return false;
    const t = tag.getBoundingClientRect();
    return [...k.querySelectorAll('.base')].some(b => { const r = b.getBoundingClientRect();
        return t.left < r.right - 1 && r.left < t.right - 1 && t.top < r.bottom - 1 && r.top < t.bottom - 1; });
}).length"""

@functools.cache
def sent(path):
    "Bytes that a host sends of a file: text is compressed, as GitHub Pages does it"
    data = (Path(SITE)/path.strip("/")).read_bytes()
    return len(gzip.compress(data)) if path.endswith((".html", ".css", ".js", ".json", ".svg")) else len(data)

def visit(context, address, name, axe):
    "What is seen of one page"
    page, seen = context.new_page(), dict(page=name, console=[], outside=[], failed=[], bytes=0)
    page.on("request", lambda r: r.url.startswith((address, "data:", "blob:")) or seen["outside"].append(r.url))
    def got(r):
        if r.status >= 400: seen["failed"].append(r.url)
        elif r.url.startswith(address): seen["bytes"] += sent(r.url[len(address):].partition("?")[0])
    page.on("response", got)
    page.on("console", lambda m: m.type == "error" and seen["console"].append(m.text))
    page.on("pageerror", lambda e: seen["console"].append(str(e)))
    page.goto(f"{address}/{name}.html", wait_until="networkidle")
    narrow = page.viewport_size["width"] < 600
    seen |= dict(dark="quarto-dark" in page.evaluate("document.documentElement.className + document.body.className"), sideways=page.evaluate(SIDEWAYS),
                 overlapping=page.evaluate(TAGS_OVER_FORMULAS) if narrow else 0, formulas=page.locator(".katex").count(), broken=page.locator(".katex-error").count(), axe=[])
    if axe:
        page.add_script_tag(path=axe)
        seen["axe"] = page.evaluate(AXE)
    if narrow:
        page.set_viewport_size(dict(width=360, height=800))
        seen["sideways"] = max(seen["sideways"], page.evaluate(SIDEWAYS))
    page.close()
    return seen

@pytest.mark.parametrize("width, theme", LOOKS, ids=[f"{w}-{t}" for w, t in LOOKS])
def test_pages_have_no_fault_for_any_reader(width, theme, browser, address, record_property):
    "No error, no request elsewhere, formulas whole, nothing sideways, the theme of the system, nothing serious for axe"
    context, axe = browser.new_context(viewport=dict(width=width, height=900), color_scheme=theme), os.environ.get("MNREWARD_AXE")
    seen = [visit(context, address, name, axe) for name in PAGES]
    context.close()
    levels = Counter(level for v in seen for level, *_ in v["axe"])
    heaviest = max(seen, key=lambda v: v["bytes"])
    record_property("figures", f"site at {width} px, {theme}: {len(seen)} pages, {sum(v['formulas'] for v in seen)} formulas; axe" + (
        f": {levels['critical']} critical, {levels['serious']} serious, {levels['moderate']} moderate, {levels['minor']} minor" if axe else " not run") +
        f"; {sum(len(v['outside']) for v in seen)} outside requests; {sum(v['sideways'] > 0 for v in seen)} scroll sideways; largest first load {heaviest['bytes'] / 1e3:.0f} kB as sent ({heaviest['page']})")
    faults = [(v["page"], kind, v[kind]) for v in seen for kind in ("console", "outside", "failed", "overlapping", "broken") if v[kind]]
    faults += [(v["page"], "scrolls sideways by", v["sideways"]) for v in seen if v["sideways"] > 0]
    faults += [(v["page"], "dark", v["dark"]) for v in seen if v["dark"] != (theme == "dark")]
    faults += [(v["page"], *rest) for v in seen for rest in v["axe"] if rest[0] in ("serious", "critical")]
    assert not faults, "\n".join(map(str, faults[:30])) + f"\n{len(faults)} faults"
    assert heaviest["bytes"] < 900_000, heaviest["page"]
    assert sum(v["formulas"] for v in seen) > 300

def test_links_and_their_anchors_lead_somewhere(soups):
    ids = {name: {x["id"] for x in s.find_all(id=True)} for name, s in soups.items()}
    dead = []
    for name, s in soups.items():
        for a in s.find_all("a", href=True):
            href = a["href"].removeprefix("/mnreward/")
            if re.match(r"[a-z]+:", href) or href in ("", "#"): continue
            page, _, anchor = href.partition("#")
            page = page.removeprefix("./")
            if page.endswith(".html") or not page:
                target = page.removesuffix(".html") or name
                if target not in ids or anchor and anchor not in ids[target]: dead.append((name, a["href"], a.get_text()[:40]))
            elif not (Path(SITE)/page.split("?")[0]).exists(): dead.append((name, a["href"], a.get_text()[:40]))
    assert not dead, dead[:30]

@pytest.mark.parametrize("width", [390, 1280])
def test_who_follows_a_link_to_a_place_arrives_there(width, browser, address):
    "Below the bar at the top, though formulas and figures above the place come in later"
    page = browser.new_page(viewport=dict(width=width, height=900))
    for place in "tokens.html#text-or-chat", "kwise_loss.html#eq-batch", "tldr.html#what-others-reached":
        page.goto(f"{address}/{place}", wait_until="networkidle")
        there = """id => { const top = document.getElementById(id).getBoundingClientRect().top; return top >= document.querySelector('#quarto-header').getBoundingClientRect().bottom - 1 && top < 300; }"""
        with contextlib.suppress(Exception): page.wait_for_function(there, arg=place.split("#")[1], timeout=10_000)
        page.wait_for_timeout(500)
        assert page.evaluate(there, place.split("#")[1]), place  # and stays there
    page.evaluate("() => document.querySelector('main').focus()")
    page.mouse.wheel(0, 2000)
    page.evaluate("() => document.querySelector('main').append(document.createElement('hr'))")
    page.wait_for_timeout(500)
    assert not page.evaluate(there, place.split("#")[1])  # who goes on is not called back
    page.close()

def test_links_on_this_site_are_relative(soups):
    assert not [(n, a["href"]) for n, s in soups.items() for a in s.find_all("a", href=True) if a["href"].startswith("https://mnreward.github.io/mnreward/")]

def test_links_on_names_land_on_their_definitions(soups):
    links = [(n, a["href"], a.get_text()) for n, s in soups.items() for a in s.select("main a[href*='#']") if a.find("code") and a.get_text() == a.find("code").get_text()]
    assert len(links) > 20
    for name, href, text in links:
        page, _, anchor = href.partition("#")
        mark = soups[page.removesuffix(".html") or name].find(id=anchor)
        assert mark is not None, (name, href)
        if "definition" in mark.get("class", []):
            listing = mark.find_next("code").get_text()
            names = "|".join(text.strip("()").split("."))
            assert re.search(rf"^(def|class) ({names})\b", listing, re.M | re.I), (name, href)

def test_pictures_have_words_and_text_has_no_raw_markdown(soups):
    for name, s in soups.items():
        for img in s.find_all("img"): assert img.get("alt", "").strip(), (name, str(img)[:120])
        for block in s.select("main p, main li, main td"):
            text = "".join(t for t in block.find_all(string=True) if not t.find_parent(["code", "pre", "script"]) and not t.find_parent(class_="math"))
            assert not re.search(r"\]\(https?:|^:::|\*\*\w", text), (name, text[:200])

def test_chapters_equations_and_figures_are_numbered(soups):
    assert soups["kwise_loss"].select_one("h1.title").get_text().split() [:1] == ["2"]
    assert "2 From one pair" in soups["listwise"].select_one("#quarto-sidebar").get_text()
    assert re.search(r"\\tag\{2\.1\}", soups["kwise_loss"].get_text()) and "Figure 2.1" in soups["kwise_loss"].get_text().replace("\xa0", " ")
    assert not re.search(r"\\tag\{\d+\}", " ".join(soups[p].get_text() for p in ("kwise_loss", "preferences", "listwise")))

def test_links_to_equations_of_other_chapters_say_which(soups):
    found = {(name, a["href"]): a.get_text() for name, s in soups.items() for a in s.select('main a[href*=".html#eq-"]')}
    assert len(found) >= 18 and all(re.search(r" \(\d+\.\d+\)$", x) for x in found.values()), found
    assert found["evaluate", "kwise_loss.html#eq-graph"] == "the loss (2.4)" and r"w_{b,ij} \log\sigma(r_{b,i} - r_{b,j}) \tag{2.4}" in soups["kwise_loss"].get_text()

def test_sources_and_terms_are_linked(soups):
    cited = {a["href"].split("#ref-")[1] for s in soups.values() for a in s.select("a.cited")}
    listed = {x["id"][4:] for x in soups["references"].select("p[id^=ref-]")}
    assert cited == listed
    assert sum(len(s.select("a.term")) for s in soups.values()) > 60
    for s in soups.values(): assert len({a["href"] for a in s.select("a.term")}) == len(s.select("a.term"))  # the first use alone

def test_exercises_stand_open_with_a_link_to_the_answer(soups):
    asked = sum(len([a for a in s.select("main a") if a.get_text() == "Answer" and a["href"].startswith("solutions.html#")]) for s in soups.values())
    assert asked >= 70 and not any(s.select("[class*=callout]") for s in soups.values())

def test_every_page_says_version_date_and_licence(soups):
    version = re.search(r"^version = (\S+)", (Path(__file__).parents[1]/"settings.ini").read_text(), re.M)[1]
    for name in PAGES:
        footer = soups[name].select_one(".nav-footer").get_text()
        assert version in footer and "Apache" in footer and re.search(r"built \d{4}-\d\d-\d\d", footer), (name, footer)

@pytest.fixture
def play(browser, address):
    context = browser.new_context(viewport=dict(width=1280, height=1000))
    page = context.new_page()
    def go(name):
        page.goto(f"{address}/{name}.html", wait_until="networkidle")
        page.locator(".play").scroll_into_view_if_needed()
        return page
    yield go
    context.close()

def test_rewards_move_by_drag_and_by_arrow_keys_and_the_losses_follow(play):
    page = play("listwise")
    handle = page.locator(".play [role=slider]").first
    value = lambda: float(handle.get_attribute("aria-valuenow"))  # noqa: E731
    loss = lambda: page.locator(".play table").first.locator("tbody tr").first.locator("td").first.inner_text()  # noqa: E731
    before, had = value(), loss()
    handle.focus()
    for _ in range(3): page.keyboard.press("ArrowRight")
    assert value() == pytest.approx(before + .3) and loss() < had
    box = handle.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] - 100, box["y"] + 10, steps=5)
    page.mouse.up()
    assert value() < before and loss() > had
    page.locator(".play input").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".play [role=slider]").count() == 5

@pytest.mark.parametrize("name, at", [("share_prompt", 0), ("evaluate", 2)])
def test_sliders_answer_arrow_keys_and_a_drag(play, name, at):
    page = play(name)
    said = lambda: page.locator(".play table").first.inner_text()  # noqa: E731
    control = page.locator(".play input").nth(at)
    before = said()
    control.focus()
    page.keyboard.press("ArrowRight")
    moved = said()
    assert moved != before
    box = control.bounding_box()
    page.mouse.click(box["x"] + box["width"] * .9, box["y"] + box["height"] / 2)
    assert said() != moved

def test_what_is_folded_opens_in_print(play):
    page = play("listwise")
    folded = "document.querySelectorAll('main details:not([open])').length"
    assert page.evaluate(folded) > 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(folded) == 0

def test_without_javascript_a_sentence_says_what_would_be_there(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for name in "listwise", "share_prompt", "evaluate":
        page.goto(f"{address}/{name}.html")
        assert "with JavaScript" in page.locator(".play").inner_text()
    context.close()

