"""Count who beat whom: the policies of OpenAI's TL;DR comparisons.

usage: MNREWARD_DATA=FOLDER python nbs/_tools/policy_wins.py [--out FILE.json]

Reads FOLDER/tldr/comparisons and writes, for each batch, the names of the
policies and how often a summary of one was preferred to a summary of another.
Counts only: no post, no summary, no worker. A judgement between two summaries
of one policy says nothing about policies; it is counted apart. Chapter 01
reads the file that is written.
"""
import argparse, json, os, platform, sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

def count(rows):
    "Per batch, the judgements and a Counter of (winner, loser)"
    batches = {}
    for row in rows:
        for one in row["metadata"]["judgements"]:
            batch = batches.setdefault(one["batch"], Counter())
            batch[tuple(one["policies"])] += 1
    return batches

def table(pairs):
    "One batch as JSON: the policies by name, and [winner, loser, count]"
    between = {k: n for k, n in pairs.items() if k[0] != k[1]}
    names = sorted({p for pair in between for p in pair})
    number = {p: i for i, p in enumerate(names)}
    wins = sorted([number[w], number[l], n] for (w, l), n in between.items())
    return dict(judgements=sum(pairs.values()), between=sum(between.values()),
                within=sum(pairs.values()) - sum(between.values()),
                policies=names, wins=wins)

def to_text(result):
    "JSON with one policy and one triple to a line, so that a diff can be read"
    text = json.dumps(result, indent=1)
    for w, l, n in [x for b in result["batches"].values() for x in b["wins"]]:
        text = text.replace(f"[\n     {w},\n     {l},\n     {n}\n    ]", f"[{w}, {l}, {n}]")
    return text + "\n"

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1]/"results"/"policy_wins.json")
    a = p.parse_args()
    import mnreward, numpy
    from mnreward.files import load_rankings
    report = Counter()
    rows = load_rankings(os.environ["MNREWARD_DATA"] + "/tldr/comparisons", report=report)
    batches = count(rows)
    result = dict(
        source="OpenAI, summarize-from-feedback, comparisons (modified MIT licence)",
        wins_columns=["winner", "loser", "judgements"], posts=len(rows), left_out=dict(report),
        batches={name: table(batches[name]) for name in sorted(batches)},
        versions=dict(python=platform.python_version(), numpy=numpy.__version__, mnreward=mnreward.__version__))
    a.out.write_text(to_text(result))
    for name, b in result["batches"].items():
        print(name, b["judgements"], "judgements,", b["within"], "within a policy,", len(b["policies"]), "policies")

if __name__ == "__main__": main()
