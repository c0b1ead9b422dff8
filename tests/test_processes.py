"Two processes take the step that one takes"
import subprocess, sys
from pathlib import Path
import pytest, torch

@pytest.fixture
def gradients(tmp_path, two_processes):
    "Of one process that holds all 12 prompts and of two that share them, each with its options"
    script = Path(__file__).with_name("two_processes.py")
    def run(one=(), two=()):
        for name in "one", "two": (tmp_path/name).mkdir()
        subprocess.run([sys.executable, script, tmp_path/"one", "12", *one], check=True, timeout=300)
        two_processes(script, tmp_path/"two", "6", *two)
        return [torch.load(tmp_path/name/"gradient.pt") for name in ("one", "two")]
    return run

def are_equal(one, two):
    assert len(one) == len(two) and max(g.abs().max() for g in one) > 1e-3
    for a, b in zip(one, two): torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)

def test_two_processes_give_the_gradient_of_one_with_a_ragged_end_and_unequal_weights(gradients): are_equal(*gradients())

def test_two_processes_that_share_prompts_give_the_gradient_of_one_that_does_not(gradients): are_equal(*gradients(["padded"], ["shared"]))

def test_two_processes_give_adapters_the_gradient_of_one(gradients): are_equal(*gradients(["shared", "lora"], ["shared", "lora"]))

command = Path(__file__).with_name("score_in_processes.py")

def test_two_processes_score_what_one_scores_in_the_same_order_and_go_on(tmp_path, two_processes, mnreward, reward_model, rows):
    "120 rankings: each process scores half of each part, one writes; the remains of an interrupted run are taken up"
    import json
    many = [dict(r, prompt=f"{r['prompt']} {n}") for n in range(3) for r in rows]
    (tmp_path/"x.jsonl").write_text("".join(json.dumps(r) + "\n" for r in many))
    read = lambda name: [json.loads(x) for x in (tmp_path/name).read_text().splitlines()]
    assert mnreward("score", tmp_path/"x.jsonl", "--model", reward_model, "--out", tmp_path/"one.jsonl")[0] == 0
    text = two_processes(command, "score", tmp_path/"x.jsonl", "--model", reward_model, "--out", tmp_path/"two.jsonl", "--batch_size", 4)
    assert text.count("120  rows scored") == 1
    one, two = read("one.jsonl"), read("two.jsonl")
    assert len(two) == 120 and [r["prompt"] for r in one] == [r["prompt"] for r in two]
    for a, b in zip(one, two): assert a["rewards"] == pytest.approx(b["rewards"], abs=1e-5)
    (tmp_path/"y.jsonl").write_text("".join(json.dumps(r) + "\n" for r in [*many[:50], dict(prompt="no completions")]))
    assert mnreward("score", tmp_path/"y.jsonl", "--model", reward_model, "--out", tmp_path/"again.jsonl")[0] == 2
    text = two_processes(command, "score", tmp_path/"x.jsonl", "--model", reward_model, "--out", tmp_path/"again.jsonl", "--batch_size", 4)
    assert "50  rows scored before" in text and "70  rows scored" in text
    assert [r["prompt"] for r in read("again.jsonl")] == [r["prompt"] for r in one]

def test_two_processes_evaluate_to_the_numbers_of_one(tmp_path, two_processes, mnreward, reward_model, rankings):
    import json
    assert mnreward("evaluate", rankings, "--model", reward_model, "--output_dir", tmp_path/"one")[0] == 0
    text = two_processes(command, "evaluate", rankings, "--model", reward_model, "--output_dir", tmp_path/"two")
    assert text.count("pair accuracy") == 1
    one, two = (json.loads((tmp_path/name/"evaluation.json").read_text()) for name in ("one", "two"))
    assert one["data"] == two["data"] and one["evaluation"]["accuracy"] == two["evaluation"]["accuracy"]
    assert one["evaluation"]["log_loss"]["value"] == pytest.approx(two["evaluation"]["log_loss"]["value"], abs=1e-6)

def test_the_fault_of_a_share_has_the_number_that_its_ranking_has_among_all():
    from mnreward.rankings import DataError
    from mnreward.model import _renumbered
    assert str(_renumbered(DataError("rankings[3] (id 'x'): ranked_outputs: too long"), 1, 2)).startswith("rankings[7] (id 'x'): ")
