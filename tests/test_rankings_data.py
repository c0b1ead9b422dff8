"Chapter 04 on the real comparison files, found through MNREWARD_DATA"
import os
from collections import Counter
from pathlib import Path

import pytest

from mnreward.rankings import create_comparison_dataset, wins_of, split_by_prompt, is_usable, prompt_key
from mnreward.files import load_rankings, write_rankings

DATA = os.environ.get("MNREWARD_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="MNREWARD_DATA is not set: the folder of real human"
                     " rankings is needed")
FILES = {"tldr/comparisons/batch13.json": (837, 679, 0),
         "tldr/comparisons/batch18.json": (474, 81, 73),
         "cnndm/comparisons/cnndm0.json": (348, 35, 9)}


@pytest.mark.parametrize("name", FILES)
def test_no_judgement_of_a_real_file_is_lost(name, tmp_path):
    judgements, posts, robins = FILES[name]
    report = Counter()
    rows = load_rankings(Path(DATA)/name, report=report)
    assert report["judgements"] == judgements and len(rows) == posts
    assert sum(len(r["metadata"]["judgements"]) for r in rows) == judgements
    empty = report["judgements of an empty summary"]
    assert sum(wins_of(r).sum() for r in rows) == judgements - empty
    assert report["posts: complete transitive round robin"] == robins
    assert all(map(is_usable, rows))
    write_rankings(rows, tmp_path/"rows.json")
    assert load_rankings(tmp_path/"rows.json") == rows


def test_every_complete_round_robin_of_batch18_is_transitive():
    rows = load_rankings(Path(DATA)/"tldr/comparisons/batch18.json")
    complete = [r for r in rows if len(r["metadata"]["judgements"]) == 6]
    assert len(complete) == 73
    assert all(r["ranks"] == [0, 1, 2, 3] for r in complete)


def test_a_folder_of_comparisons_gives_one_row_a_post():
    rows = load_rankings(Path(DATA)/"tldr/comparisons")
    assert len(rows) == len({prompt_key(r) for r in rows}) == 751
    both = [r for r in rows if r["metadata"]["batch"] == "batch13+batch18"]
    assert len(both) == 9
    train, valid = split_by_prompt(rows)
    assert len(train) + len(valid) == 751 and len(valid) == 75


@pytest.mark.parametrize("name,bare", [("e2e_quality", 618),
    ("gec_grundkiewicz2015", 49), ("finegrained_qa", 9), ("summeval", 0)])
def test_rows_without_a_judged_pair_are_kept_and_counted(name, bare):
    report = Counter()  # one row of gec_* has an empty completion
    rows = load_rankings(Path(DATA)/f"rankings/{name}.jsonl",
                         skip_bad_rows=True, report=report)
    assert report["rows kept that have no judged pair"] == bare
    assert sum(not is_usable(r) for r in rows) == bare
    assert len(rows) >= len(create_comparison_dataset(rows)) > 0
