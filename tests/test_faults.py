"Bad input: exit status 2, one message that names file, row and field, no traceback, nothing half-written"
import json, os, re, signal, subprocess, sys, time
from pathlib import Path
import pytest

good = {"prompt": "Say hello.", "ranked_outputs": ["Hello, good to see you.", "Go away."]}

def bad(**change): return json.dumps([good, {**good, **change}])

faults = {
    "not_json": ("x.json", "hello there", ["x.json", "JSON"]),
    "truncated": ("x.json", json.dumps([good, good])[:-30], ["x.json", "line 1"]),
    "truncated_line": ("x.jsonl", json.dumps(good)+"\n"+json.dumps(good)[:-20]+"\n", ["x.jsonl", "row 2", "line 2"]),
    "no_prompt": ("x.json", json.dumps([good, {"ranked_outputs": ["a", "b"]}]), ["x.json", "row 2", "prompt"]),
    "one_completion": ("x.json", bad(ranked_outputs=["alone"]), ["row 2", "ranked_outputs"]),
    "completion_is_no_string": ("x.json", bad(ranked_outputs=["a", 3]), ["row 2", "ranked_outputs"]),
    "empty_completion": ("x.json", bad(ranked_outputs=["a", "  "]), ["row 2", "ranked_outputs"]),
    "ranks_of_another_length": ("x.json", bad(ranks=[0, 1, 2]), ["row 2", "ranks"]),
    "comparisons_outside": ("x.json", bad(comparisons=[[0, 2]]), ["row 2", "comparisons"]),
    "empty_file": ("x.json", "", ["x.json", "empty"]),
    "no_usable_row": ("x.json", json.dumps([{**good, "ranks": [0, 0]}]*3), ["x.json"]),
}

@pytest.mark.parametrize("fault", faults)
def test_bad_rankings_exit_2_and_say_where(fault, tmp_path, mnreward, backbone):
    name, text, said = faults[fault]
    (tmp_path/name).write_text(text)
    rc, out, err = mnreward("train", tmp_path/name, "--model", backbone, "--output_dir", tmp_path/"out", "--max_steps", 1)
    assert rc == 2 and "Traceback" not in err, err
    for s in said: assert s in err, (s, err)
    assert not (tmp_path/"out").exists()

def test_bytes_that_are_not_utf8_exit_2(tmp_path, mnreward):
    (tmp_path/"x.jsonl").write_bytes(json.dumps(good).encode()+b"\n"+b'{"prompt": "caf\xe9", "ranked_outputs": ["a", "b"]}\n')
    rc, _, err = mnreward("rankings", tmp_path/"x.jsonl")
    assert rc == 2 and "UTF-8" in err and "line 2" in err, err

def test_a_missing_file_exits_2(tmp_path, mnreward):
    rc, _, err = mnreward("rankings", tmp_path/"nowhere.json")
    assert rc == 2 and "nowhere.json" in err

def test_skip_bad_rows_drops_and_counts(tmp_path, mnreward):
    (tmp_path/"x.json").write_text(bad(ranked_outputs=["alone"]))
    rc, out, err = mnreward("rankings", tmp_path/"x.json", "--skip-bad-rows", "--out", tmp_path/"y.json")
    assert rc == 0, err
    assert len(json.loads((tmp_path/"y.json").read_text())) == 1
    assert re.search(r"\b1\b.*(drop|skip|bad)", out), out

def test_a_completion_longer_than_the_model_exits_2_naming_the_row(tmp_path, mnreward, backbone, rows):
    long = [*rows[:20], {"prompt": "a", "ranked_outputs": ["The cat is red. "*800, "short"]}]
    (tmp_path/"x.json").write_text(json.dumps(long))
    args = "train", tmp_path/"x.json", "--model", backbone, "--output_dir", tmp_path/"out", "--max_steps", 1, "--eval_fraction", 0
    rc, _, err = mnreward(*args, "--max_length", 100)
    assert rc == 2 and "max_length" in err and "20" in err, err
    rc, _, err = mnreward(*args, "--max_length", 100, "--drop_too_long", "--disable_tqdm", "True", "--use_cpu")
    assert rc == 0, err
    counted = json.loads((tmp_path/"out/metrics.json").read_text())["data"]
    assert any("no room" in k and v == 1 for k, v in counted.items()), counted

def test_a_folder_that_is_no_model_exits_2(tmp_path, mnreward, rankings, backbone):
    (tmp_path/"empty").mkdir()
    for command in (("train", rankings, "--output_dir", tmp_path/"o"), ("score", rankings), ("evaluate", rankings)):
        rc, _, err = mnreward(*command, "--model", tmp_path/"empty")
        assert rc == 2 and "empty" in err, err
    rc, _, err = mnreward("score", rankings, "--model", backbone)  # a backbone is no reward model
    assert rc == 2 and "reward model" in err, err

def test_an_unreachable_hub_exits_2_and_says_what_to_do(tmp_path, mnreward, rankings):
    start = time.time()
    rc, _, err = mnreward("train", rankings, "--model", "google/flan-t5-base", "--output_dir", tmp_path/"o")
    assert rc == 2 and "google/flan-t5-base" in err and "offline" in err.lower(), err
    rc, _, err = mnreward("rankings", "openai/summarize_from_feedback")
    assert rc == 2 and "openai/summarize_from_feedback" in err, err

def test_an_output_folder_with_content_is_refused(tmp_path, mnreward, rankings, backbone):
    out = tmp_path/"out"; out.mkdir(); (out/"notes.txt").write_text("mine")
    rc, _, err = mnreward("train", rankings, "--model", backbone, "--output_dir", out)
    assert rc == 2 and "overwrite" in err and [p.name for p in out.iterdir()] == ["notes.txt"]

@pytest.mark.parametrize("option", ["--learning_rat", "--lerning-rate", "--no_such_thing"])
def test_an_unknown_option_exits_2(tmp_path, mnreward, rankings, backbone, option):
    rc, _, err = mnreward("train", rankings, "--model", backbone, "--output_dir", tmp_path/"o", option, "1")
    assert rc == 2 and "unknown option" in err and "Traceback" not in err, err

def test_a_wrong_value_of_an_option_exits_2(tmp_path, mnreward, rankings, backbone):
    rc, _, err = mnreward("train", rankings, "--model", backbone, "--output_dir", tmp_path/"o", "--learning_rate", "fast")
    assert rc == 2 and "learning_rate" in err and "Traceback" not in err, err

def test_a_yaml_file_with_an_unknown_key_exits_2_naming_it(tmp_path, mnreward, rankings):
    (tmp_path/"c.yaml").write_text("learning_rat: 1e-4\n")
    rc, _, err = mnreward("train", rankings, "--config", tmp_path/"c.yaml")
    assert rc == 2 and "c.yaml" in err and "learning_rate" in err, err

def test_a_bad_row_in_score_keeps_the_rows_before_it(tmp_path, mnreward, reward_model, rows):
    src, out = tmp_path/"in.jsonl", tmp_path/"out.jsonl"
    lines = [json.dumps(r) for r in rows]
    src.write_text("\n".join([*lines[:7], '{"prompt": "no completions"}', *lines[7:]])+"\n")
    rc, _, err = mnreward("score", src, "--model", reward_model, "--out", out)
    assert rc == 2 and "row 8" in err and not out.exists(), err
    first, *kept = Path(f"{out}.partial").read_text().splitlines()
    assert "mnreward score" in json.loads(first) and len(kept) == 7  # the first line says what it was made from
    rc, text, err = mnreward("score", src, "--model", reward_model, "--out", out, "--skip-bad-rows")
    assert rc == 0, err
    assert len(out.read_text().splitlines()) == len(rows) and not Path(f"{out}.partial").exists()

def test_ctrl_c_keeps_a_checkpoint_and_the_message_says_how_to_resume(tmp_path, rankings, backbone):
    out = tmp_path/"out"
    command = [sys.executable, "-c", "import sys; from mnreward.cli import main; sys.exit(main())", "train", str(rankings),
               "--model", str(backbone), "--output_dir", str(out), "--eval_strategy", "no", "--prompts_per_step", "8",
               "--logging_steps", "1", "--disable_tqdm", "True", "--use_cpu", "--seed", "1"]
    p = subprocess.Popen([*command, "--max_steps", "5000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         env={**os.environ, "PYTHONUNBUFFERED": "1"})
    for line in p.stdout:
        if "loss" in line: break
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=120)
    assert p.returncode == 130 and "--resume_from_checkpoint" in err and "Traceback" not in err, err
    step = int(re.search(r"stopped after step (\d+)", err)[1])
    assert (out/f"checkpoint-{step}"/"trainer_state.json").exists()
    r = subprocess.run([*command, "--max_steps", str(step+3), "--resume_from_checkpoint", "True"], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    assert json.loads((out/"metrics.json").read_text())["training"]["steps"] == step+3

@pytest.mark.parametrize("options, said", [
    (("--label_smoothing_factor", "0.1"), "--label_smoothing 0.1"), (("--prediction_loss_only",), "prediction_loss_only"), (("--no_eval_do_concat_batches",), "eval_do_concat_batches"),
    (("--no_average_tokens_across_devices",), "divide by its own prompts"),
    (("--per_device_train_batch_size", "0"), "at least 1"), (("--prompts_per_step", "0"), "at least 1"),
    (("--seed", "-1"), "seed"), (("--eval_fraction", "1.5"), "eval_fraction"), (("--max_ranks_per_batch", "1"), "at least 2"),
    (("--max_length", "0"), "max_length"), (("--report_to", "no_such_tracker"), "no_such_tracker"),
    (("--accelerator_config", '{"dispatch_batches": true}'), "dispatch_batches"), (("stray",), "unexpected"),
    (("--loss", "listmle"), "plackett_luce"), (("--margins",), "margins")])
def test_options_that_cannot_be_exit_2_and_say_why(options, said, tmp_path, mnreward, rankings, backbone):
    rc, _, err = mnreward("train", rankings, "--model", backbone, "--output_dir", tmp_path/"o", "--use_cpu", "--max_steps", 1,
                          "--disable_tqdm", "True", *options)
    assert rc == 2 and said in err and "Traceback" not in err, err
    assert not (tmp_path/"o").exists()

def test_overwrite_keeps_old_checkpoints_until_training_begins(tmp_path, mnreward, backbone):
    old = tmp_path/"o"/"checkpoint-7"; old.mkdir(parents=True)
    rc, _, err = mnreward("train", tmp_path/"typo.json", "--model", backbone, "--output_dir", tmp_path/"o", "--overwrite")
    assert rc == 2 and old.exists(), err

@pytest.mark.parametrize("size", ["0", "-1"])
def test_a_batch_size_below_one_exits_2(size, tmp_path, mnreward, rankings, reward_model):
    for command in "score", "evaluate":
        rc, _, err = mnreward(command, rankings, "--model", reward_model, "--batch_size", size)
        assert rc == 2 and "batch_size" in err, err

def test_a_row_that_is_no_object_and_a_partial_file_of_something_else_exit_2(tmp_path, mnreward, rankings, reward_model):
    (tmp_path/"x.json").write_text("[5]")
    rc, _, err = mnreward("score", tmp_path/"x.json", "--model", reward_model)
    assert rc == 2 and "row 1" in err and "Traceback" not in err, err
    for text in "garbage\n", "[1]\n":
        (tmp_path/"out.partial").write_text(text)
        rc, _, err = mnreward("score", rankings, "--model", reward_model, "--out", tmp_path/"out")
        assert rc == 2 and "out.partial" in err and (tmp_path/"out.partial").read_text() == text, err

def test_rows_without_weight_are_no_training_data(tmp_path, mnreward, rows, backbone):
    (tmp_path/"x.json").write_text(json.dumps([{**r, "weight": 0} for r in rows]))
    rc, _, err = mnreward("train", tmp_path/"x.json", "--model", backbone, "--output_dir", tmp_path/"o", "--use_cpu")
    assert rc == 2 and "weight" in err, err

def test_a_completion_too_long_to_score_can_be_left_out_of_an_evaluation(tmp_path, mnreward, reward_model, rows):
    (tmp_path/"x.json").write_text(json.dumps([*rows[:5], {"prompt": "a", "ranked_outputs": ["The cat is red. "*800, "short"]}]))
    rc, _, err = mnreward("evaluate", tmp_path/"x.json", "--model", reward_model, "--output_dir", tmp_path/"e")
    assert rc == 2 and "max_length" in err and not (tmp_path/"e").exists(), err
    rc, text, err = mnreward("evaluate", tmp_path/"x.json", "--model", reward_model, "--output_dir", tmp_path/"e", "--skip_bad_rows")
    assert rc == 0 and "1  rows dropped" in text, (text, err)

@pytest.mark.parametrize("change, said", [
    ({"model_max_length": "decoder"}, "model_max_length"),
    ({"extra_ids": 10**12}, "extra_ids"),
    ({"eos_token": "a token that the model lacks"}, "eos_token"),
], ids=["length", "extra_ids", "eos"])
def test_a_tokenizer_that_does_not_fit_its_model_exits_2(change, said, tmp_path, mnreward, reward_model, rankings):
    import shutil
    shutil.copytree(reward_model, tmp_path/"rm")
    file = tmp_path/"rm/tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    rc, _, err = mnreward("score", rankings, "--model", tmp_path/"rm", "--out", tmp_path/"out.jsonl")
    assert rc == 2 and said in err and len([x for x in err.splitlines() if x.startswith("mnreward:")]) == 1, err
    assert not (tmp_path/"out.jsonl").exists()

def test_code_in_a_folder_is_neither_run_nor_asked_about(tmp_path, mnreward, reward_model, rankings, monkeypatch):
    import shutil
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked whether to run code"))
    shutil.copytree(reward_model, tmp_path/"rm")
    for name in "modeling_x.py", "reward_model.py": (tmp_path/"rm"/name).write_text(f"open({str(tmp_path/'ran')!r}, 'w')\n")
    file = tmp_path/"rm/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | dict(model_type="x", auto_map=dict(AutoConfig="modeling_x.C"))))
    rc, _, err = mnreward("score", rankings, "--model", tmp_path/"rm", "--out", tmp_path/"out.jsonl")
    assert rc == 2 and "run the custom code" not in err and not (tmp_path/"ran").exists(), err

def test_a_kept_judgement_without_a_side_goes_with_its_empty_completion():
    from collections import Counter
    from mnreward.rankings import without_empty
    judgements = [{"loser": 1}, {"winner": 0, "loser": 1}, {"winner": 0}]
    kept = without_empty({**good, "ranked_outputs": ["Hello.", "Go away.", " "], "metadata": {"judgements": judgements}}, "x", Counter())
    assert kept["ranked_outputs"] == ["Hello.", "Go away."] and kept["metadata"]["judgements"] == judgements[1:2]
