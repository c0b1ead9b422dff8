"Names from data and models are words in a report and on a terminal, never markup or control codes"
import json, re
import pytest
from mnreward.scoring import evaluate_file

EVIL = ["<script>alert(1)</script>", "# heading", "a\n\n# heading", "![x](http://e.example/x.png)", "[x](javascript:1)", "**b**", "`c`", "a|b", "\x1b[31mred\x1b[0m", "$\\frac{$", "\u202eevil", "_em_", "&lt;", "a\rb", "x" * 5000]

@pytest.mark.parametrize("name", EVIL)
def test_a_policy_or_group_of_any_name_is_words_in_the_report(name, tmp_path, rows, reward_model, mnreward):
    rows = [dict(r, kind=name if i % 2 else "plain", subset=name, metadata=dict(judgements=[dict(winner=0, loser=1, policies=[name, "b"], confidence=3)])) for i, r in enumerate(rows[:6])]
    (tmp_path/"r.json").write_text(json.dumps(rows))
    rc, out, err = mnreward("evaluate", tmp_path/"r.json", "--model", reward_model, "--output_dir", tmp_path/"e", "--groups", "kind")
    assert rc == 0, err
    text = (tmp_path/"e/evaluation.md").read_text()
    for said in text, out:
        assert not re.search(r"(?<!\\)(<script|!\[|`c`|\*\*b|\$)", said), said
        assert all(c.isprintable() or c == "\n" for c in said) and max(map(len, said.splitlines())) < 600
        assert not [x for x in said.splitlines() if x.startswith("#") and not x.startswith("## Reward model ")]
    for line in text.splitlines():
        if line.startswith("|"): assert len(re.findall(r"(?<!\\)\|", line)) in (4, 6), line

def test_a_model_of_any_name_is_words_in_the_report(tmp_path, rankings, reward_model, rows):
    import shutil
    name = "<b>x`y*z[w](v)"
    shutil.copytree(reward_model, tmp_path/name)
    evaluate_file(rankings, tmp_path/name, output_dir=tmp_path/"e")
    head = next(x for x in (tmp_path/"e/evaluation.md").read_text().splitlines() if x.startswith("## "))
    assert head.endswith(r"\<b\>x\`y\*z\[w\](v)"), head

def test_counts_of_strange_fields_are_printed_as_words(tmp_path, mnreward):
    row = dict(prompt="a", ranked_outputs=["b", "c"]) | {"\x1b[2Jfield\n": 1}
    (tmp_path/"r.json").write_text(json.dumps([row]))
    rc, out, err = mnreward("rankings", tmp_path/"r.json")
    assert rc == 0 and "\x1b" not in out and r"\x1b[2Jfield" in out, (out, err)

def test_the_card_of_a_model_holds_names_as_words(tmp_path, rows, backbone, mnreward):
    (tmp_path/"r.json").write_text(json.dumps([r | {"<img src=x>": 1} for r in rows]))
    rc, _, err = mnreward("train", tmp_path/"r.json", "--model", backbone, "--output_dir", tmp_path/"o", "--max_steps", 1, "--use_cpu", "--disable_tqdm", "true")
    card = (tmp_path/"o/README.md").read_text()
    assert rc == 0 and r"\<img src=x\>" in card and "<img" not in card.replace(r"\<img", ""), err
