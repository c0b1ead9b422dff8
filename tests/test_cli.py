"The command line does what its help says"
import json
import pytest

quick = "--disable_tqdm", "True", "--use_cpu", "--max_steps", 3, "--prompts_per_step", 8, "--learning_rate", "1e-3"

def test_train_score_evaluate_from_a_file_to_a_report(tmp_path, mnreward, rankings, backbone, rows):
    out = tmp_path/"rm"
    rc, text, err = mnreward("train", rankings, "--model", backbone, "--output_dir", out, *quick)
    assert rc == 0, err
    assert "pair accuracy" in text
    assert {"config.json", "model.safetensors", "tokenizer.json", "metrics.json", "training.png", "README.md"} <= {
        p.name for p in out.iterdir()}
    rc, text, err = mnreward("score", rankings, "--model", out, "--out", tmp_path/"s.jsonl")
    assert rc == 0, err
    scored = [json.loads(l) for l in (tmp_path/"s.jsonl").read_text().splitlines()]
    assert [s["prompt"] for s in scored] == [r["prompt"] for r in rows]
    assert all(len(s["rewards"]) == len(s["ranked_outputs"]) for s in scored)
    rc, text, err = mnreward("evaluate", rankings, "--model", out, "--against", out, "--output_dir", tmp_path/"e")
    assert rc == 0 and "pair accuracy" in text, err
    found = json.loads((tmp_path/"e/evaluation.json").read_text())
    assert found["difference"]["accuracy"]["value"] == 0
    agree = sum(sum(a > b for i, a in enumerate(s["rewards"]) for b in s["rewards"][i+1:]) for s in scored)
    pairs = sum(len(s["rewards"])*(len(s["rewards"])-1)/2 for s in scored)
    assert found["evaluation"]["accuracy"]["value"] == pytest.approx(agree/pairs)
    assert (tmp_path/"e/evaluation.png").stat().st_size > 5000
    rc, _, err = mnreward("evaluate", rankings, "--model", out, "--output_dir", tmp_path/"e")
    assert rc == 2 and "overwrite" in err

def test_a_saved_reward_model_can_be_trained_further(tmp_path, mnreward, rankings, reward_model):
    rc, _, err = mnreward("train", rankings, "--model", reward_model, "--output_dir", tmp_path/"more", *quick)
    assert rc == 0, err

def test_options_of_training_arguments_come_from_yaml_and_the_command_line_wins(tmp_path, mnreward, rankings, backbone):
    (tmp_path/"c.yaml").write_text(f"file: {rankings}\nmodel: {backbone}\nlearning_rate: 0.5\nmax_steps: 2\n"
                                   "eval_fraction: 0.2\nuse_cpu: true\ndisable_tqdm: true\nprompts_per_step: 8\n"
                                   "gradient_checkpointing: true\n")
    rc, _, err = mnreward("train", "--config", tmp_path/"c.yaml", "--learning-rate", "1e-3", "--output_dir", tmp_path/"rm")
    assert rc == 0, err
    m = json.loads((tmp_path/"rm/metrics.json").read_text())
    assert m["training"]["arguments"]["learning_rate"] == 1e-3 and m["training"]["steps"] == 2
    assert m["training"]["arguments"]["gradient_checkpointing"] is True
    assert m["validation_rows"] == 8

def test_rankings_converts_raw_comparisons_and_counts(tmp_path, mnreward):
    def judged(i, j, choice, worker="w", post="p1"):
        return json.dumps(dict(info=dict(id=post, post="A post.", title="T", subreddit="s"), split="train",
            summaries=[dict(text=f" summary number {n}", policy=f"policy{n}", note="") for n in (i, j)],
            choice=choice, worker=worker, batch="b", extra=dict(confidence=2)))
    lines = [judged(0, 1, 0), judged(0, 2, 0), judged(1, 2, 0), judged(0, 1, 0, post="p2"), judged(0, 1, 1, "v", post="p2")]
    (tmp_path/"raw.json").write_text("\n".join(lines)+"\n")
    rc, text, err = mnreward("rankings", tmp_path/"raw.json", "--out", tmp_path/"r.json")
    assert rc == 0, err
    a, b = json.loads((tmp_path/"r.json").read_text())
    assert a["ranked_outputs"] == [" summary number 0", " summary number 1", " summary number 2"]
    assert a["prompt"].startswith("SUBREDDIT: r/s") and "comparisons" not in a
    assert len(b["comparisons"]) == 2 and len(b["metadata"]["judgements"]) == 2
    assert "5" in text

def test_rankings_never_replaces_what_it_reads(tmp_path, mnreward, rows):
    (tmp_path/"mine.json").write_text(text := json.dumps(rows[:4]))
    (tmp_path/"link.json").symlink_to(tmp_path/"mine.json")
    for out in "mine.json", "link.json":
        rc, _, err = mnreward("rankings", tmp_path/"mine.json", "--out", tmp_path/out)
        assert rc == 2 and err.strip() == f"mnreward: {tmp_path/out} is what is read: choose another --out"
    assert (tmp_path/"mine.json").read_text() == text and sorted(x.name for x in tmp_path.iterdir()) == ["link.json", "mine.json"]

def test_score_takes_single_completions_pairs_chat_free_rows_and_keeps_their_fields(tmp_path, mnreward, reward_model):
    rows = [dict(prompt="The cat is red.", completion="The cat is red.", mine=1),
            dict(prompt="The cat is red.", chosen="The cat is red.", rejected="The cat is blue."),
            dict(prompt="The cat is red.", completions=["The cat is blue.", "The cat is red.", "x"])]
    (tmp_path/"in.jsonl").write_text("".join(json.dumps(r)+"\n" for r in rows))
    rc, _, err = mnreward("score", tmp_path/"in.jsonl", "--model", reward_model)
    assert rc == 0, err
    out = [json.loads(l) for l in (tmp_path/"in.scored.jsonl").read_text().splitlines()]
    assert [len(o["rewards"]) for o in out] == [1, 2, 3] and out[0]["mine"] == 1
    assert out[0]["rewards"][0] == pytest.approx(out[1]["rewards"][0], abs=1e-5)
    assert out[1]["rewards"][1] == pytest.approx(out[2]["rewards"][0], abs=1e-5)

def test_the_demo_runs_end_to_end_at_toy_size(tmp_path):
    from mnreward.cli import demo, show_demo
    found = demo(output_dir=tmp_path/"demo", max_steps=2, use_cpu=True, disable_tqdm=True, n=200)
    show_demo(found)
    for name in "longer", "words": assert abs(found[name]["accuracy"]["value"]-0.5) < 0.06, name

def test_the_demo_names_its_own_ways_out_of_a_folder_that_is_taken(tmp_path, mnreward):
    (tmp_path/"demo").mkdir()
    (tmp_path/"demo/mine.txt").write_text("mine")
    rc, _, err = mnreward("demo", "--output_dir", tmp_path/"demo")
    assert rc == 2 and "--overwrite" in err and "resume" not in err, err

def test_the_demo_leaves_the_bag_of_words_out_where_scikit_learn_is_missing(tmp_path, capsys, monkeypatch):
    import sys
    from mnreward.cli import demo, show_demo
    for name in ["sklearn", "sklearn.feature_extraction.text", "sklearn.linear_model"]: monkeypatch.setitem(sys.modules, name, None)
    found = demo(output_dir=tmp_path/"demo", max_steps=1, use_cpu=True, disable_tqdm=True, n=100)
    show_demo(found)
    assert "words" not in found and "left out, needs scikit-learn" in capsys.readouterr().out

@pytest.mark.slow
def test_the_demo_reaches_085_on_prompts_never_seen_as_a_mean_of_three_seeds(tmp_path):
    from mnreward.cli import demo
    accuracy = []
    for seed in range(3):
        found = demo(output_dir=tmp_path/str(seed), seed=seed, use_cpu=True, disable_tqdm=True)
        accuracy.append(found["model"]["accuracy"]["value"])
        for name in "longer", "words": assert abs(found[name]["accuracy"]["value"]-0.5) < 0.05, (seed, name)
    assert sum(accuracy)/3 >= 0.85, accuracy

@pytest.mark.parametrize("options", [("--lr_scheduler_type", "linear"), ("--eval_strategy", "epoch"), ("--save_strategy", "no"),
    ("--eval_steps", 1), ("--loss", "plackett_luce"), ("--ties", "half", "--label_smoothing", "0.1", "--centring", "0.01")])
def test_common_options_of_training_go_together_with_the_defaults(options, tmp_path, mnreward, rankings, backbone):
    rc, _, err = mnreward("train", rankings, "--model", backbone, "--output_dir", tmp_path/"rm", *quick, *options)
    assert rc == 0, err

def test_the_best_checkpoint_by_accuracy_has_the_highest(tmp_path, mnreward, rankings, backbone):
    rc, _, err = mnreward("train", rankings, "--model", backbone, "--output_dir", tmp_path/"rm", *quick,
                          "--metric_for_best_model", "accuracy", "--max_steps", 6, "--eval_fraction", 0.5)
    assert rc == 0, err
    last = max((tmp_path/"rm").glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    state = json.loads((last/"trainer_state.json").read_text())
    assert state["best_metric"] == max(h["eval_accuracy"] for h in state["log_history"] if "eval_accuracy" in h)

def test_yaml_reads_no_as_a_strategy(tmp_path, mnreward, rankings, backbone):
    (tmp_path/"c.yaml").write_text("eval_strategy: no\nreport_to:\n")
    rc, _, err = mnreward("train", rankings, "--config", tmp_path/"c.yaml", "--model", backbone, "--output_dir", tmp_path/"rm", *quick)
    assert rc == 0, err

def test_csv_with_lists_of_completions_is_scored_completion_by_completion(tmp_path, mnreward, reward_model):
    (tmp_path/"in.csv").write_text('prompt,completions\nThe cat is red.,"[""The cat is red."", ""The cat is blue.""]"\n')
    rc, _, err = mnreward("score", tmp_path/"in.csv", "--model", reward_model, "--out", tmp_path/"s.jsonl")
    assert rc == 0, err
    assert len(json.loads((tmp_path/"s.jsonl").read_text())["rewards"]) == 2

def test_rankings_counts_each_row_once(tmp_path, mnreward, rankings, rows):
    rc, text, _ = mnreward("rankings", rankings, "--min_words", 3)
    assert rc == 0 and f"{len(rows)}  rows kept" in text and f"{2*len(rows)}" not in text, text

# What a command offered in version 0.1: option -> default; ...: it must be given
promised = dict(
    train=dict(file=None, eval_data=None, eval_fraction=0.1, skip_bad_rows=False, drop_too_long=False, use_decoder=False,
               share_prompt="auto", model="google/flan-t5-base", output_dir="reward-model", overwrite=False,
               max_ranks_per_batch=9, max_length=None, prompts_per_step=64, loss="kwise", ties="drop", margins=False,
               label_smoothing=0.0, centring=0.0, config=None, help_all=False),
    score=dict(file=..., model=..., out=None, batch_size=32, share_prompt="auto", skip_bad_rows=False),
    evaluate=dict(file=..., model=..., against=None, output_dir="evaluation", batch_size=32, share_prompt="auto",
                  overwrite=False, skip_bad_rows=False),
    rankings=dict(file=..., out=None, split=None, min_words=0, skip_bad_rows=False),
    bench=dict(out=..., preset=None, ks=(2, 3, 4, 6, 9), repeats=5, prompt=350, completion=40, no_trl=False, peak_tflops=None),
    tldr=dict(preset=..., output_dir="tldr", comparisons=None, posts=None, cnndm=None, limit=None, seed=0, set=None, plan=False),
    demo=dict(model=None, output_dir="mnreward-demo", seed=0, overwrite=False))

def test_options_and_defaults_are_those_of_version_01_in_both_spellings_and_have_a_help():
    from mnreward.cli import parser
    parts = parser()._subparsers._group_actions[0].choices
    assert parts.keys() == promised.keys()
    for command, options in promised.items():
        actions = {a.dest: a for a in parts[command]._actions}
        for name, default in options.items():
            a = actions[name]
            assert (... if a.required else a.default) == default, (command, name)
            if name != "file": assert {f"--{name}", "--"+name.replace("_", "-")} == {*a.option_strings}, (command, name)
        assert all(a.help for a in actions.values()), command

def test_late_errors_name_the_file_and_the_ranking(tmp_path, mnreward, reward_model, rows):
    (tmp_path/"x.json").write_text(json.dumps([*rows[:5], {"prompt": "a", "id": "x9", "ranked_outputs": ["The cat is red. "*800, "short"]}]))
    rc, _, err = mnreward("evaluate", tmp_path/"x.json", "--model", reward_model, "--output_dir", tmp_path/"e")
    assert rc == 2 and "x.json, ranking 6 (id 'x9')" in err and not (tmp_path/"e").exists(), err
    rc, _, err = mnreward("score", tmp_path/"x.json", "--model", reward_model, "--out", tmp_path/"s.jsonl")
    assert rc == 2 and "x.json, row 6" in err and "rankings[" not in err, err
