"One operator or number of a chapter's code is changed at a time: the rest of the chapter must notice"
import json, subprocess, sys
from pathlib import Path
import pytest

root = Path(__file__).parents[2]
# Of chapter 11 without the trial's made-up sizes and tolerances, and without what a GPU alone executes
SHARING = """visible,additive_mask,split_completions,first_fit,row_cost,assign_rows,completions_per_copy,lay_rows,PackingCollator,packed_hidden,packed_mask,
states_at_ends,packing_collator,_window,_two_stacks,_known,_other_layers,_trial,why_not,asked_for,choose_layout""".replace("\n", "")
CHAPTERS = ["02", "03", "04", "05", "08", "09", f"11:{SHARING}", "12:RewardHead,rewards_to_grid,check_settings", "10:hidden_states,token_positions", "13", "14:step_weight,step_loss,sampler_for,half_ties,check_seed"]

def found_by(tmp_path, *words):
    out = tmp_path/"found.json"
    done = subprocess.run([sys.executable, root/"nbs/_tools/mutate.py", "--out", out, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())

def test_a_chapter_notices_the_mutants_of_a_sample(tmp_path):
    found, = found_by(tmp_path, "--most", "8", "--seed", "1", "02").values()
    assert found["mutants"] == 8 and not found["survivors"], found

@pytest.mark.campaign
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda x: x[:2])
def test_a_chapter_notices_95_of_100_mutants(chapter, tmp_path, record):
    found, = found_by(tmp_path, "--most", "320", chapter).values()
    of = found["mutants"] - found["equivalent"]
    record(f"mutants: chapter {chapter.split(':')[0]}", "the rest of the chapter notices", found["killed"], of, f"{found['of']} possible, {found['equivalent']} of these mean the same")
    assert found["killed"] >= .95 * of, found["survivors"]
