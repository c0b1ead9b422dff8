"`mnreward tldr` from files to a report: what a second call does, interrupted stages, faults in one line"
import importlib.util, json, os, sys
from pathlib import Path
import pytest

data = os.environ.get("MNREWARD_DATA")
has_peft = importlib.util.find_spec("peft") is not None
peft = pytest.mark.skipif(not has_peft, reason="peft is not installed: pip install 'mnreward[peft]'")

def judged(post, i, j, n, article=False):
    "A comparison as OpenAI published them; the lower number is better"
    info = dict(id=f"p{post}", article=f"News {post}.\nMore of it.") if article else dict(
        id=f"p{post}", subreddit="s", title=f"T{post}", post=f"Post number {post}.\nIt has two lines.")
    return dict(info=info, choice=int(i > j), worker=f"w{n%2}", batch="cnndm0" if article else "b0", extra=dict(confidence=n%9+1),
        split="valid1" if post%3 == 0 else "valid2", summaries=[dict(text=f" summary {k} of post {post}", policy=f"m{k}") for k in (i, j)])

def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r)+"\n" for r in rows))
    return path

@pytest.fixture
def files(tmp_path):
    "--comparisons --posts --cnndm as a list of options"
    pairs = [(0, 1), (2, 0), (1, 2)]
    raw = [judged(p, i, j, n) for p in range(20) for n, (i, j) in enumerate(pairs)]
    posts = [dict(subreddit="s", title=f"T{p}", post=f"Post number {p}.\nIt has two lines.", summary=f"the author on {p}")
             for p in range(18, 38)]
    news = [judged(p, 0, 1, p, True) for p in range(6)]
    return ["--comparisons", lines(tmp_path/"c/b0.json", raw), "--posts", lines(tmp_path/"posts.jsonl", posts),
            "--cnndm", lines(tmp_path/"news.json", news)]

def paths(files): return dict(zip([f[2:] for f in files[::2]], files[1::2]))

@pytest.mark.parametrize("preset", ["tiny", "tiny-t5"])
def test_the_command_goes_from_files_to_a_report_and_does_nothing_twice(tmp_path, mnreward, files, preset):
    out = tmp_path/"out"
    call = "tldr", "--preset", preset, "--output_dir", out, *files
    rc, text, err = mnreward(*call)
    assert rc == 0, err
    found = json.loads((out/"results.json").read_text())
    assert set(found["evaluation"]) == {"validation", "valid1", "valid2", "cnndm"}
    assert found["evaluation"]["valid1"]["evaluation"]["by_split"].keys() == {"valid1"}
    assert found["settings"]["preset"] == preset and found["settings"]["seed"] == 0 and found["versions"]["torch"]
    stages = found["stages"]
    assert list(stages) == ["sft_stage", "reward_stage", "shift_stage", "evaluation_stage"]
    assert all(s["seconds"] >= 0 and s["device"] for s in stages.values())
    assert stages["sft_stage"]["posts"] == 16 and stages["sft_stage"]["read"]["posts left out: in the comparisons"] == 2
    assert stages["sft_stage"]["loss_after"] < stages["sft_stage"]["loss_before"]
    assert stages["reward_stage"]["tokens_per_second"] > 0 and stages["reward_stage"]["layout"] == "shared"
    assert abs(stages["shift_stage"]["mean_after"]) < 1e-5
    assert "| valid2 |" in text and "## cnndm" in (out/"report.md").read_text()
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    rc, text, err = mnreward(*call)
    assert rc == 0 and text.count("not repeated") == 4 and "| valid2 |" in text, err
    assert times == {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    rc, text, err = mnreward("score", lines(tmp_path/"s.jsonl", [dict(prompt="Post", completion=" a")]), "--model", out/"reward",
                             "--out", tmp_path/"scored.jsonl")
    assert rc == 0, err
    rc, _, err = mnreward("tldr", "--preset", "t4", "--output_dir", out, *files)
    assert rc == 2 and "preset" in err and err.count("\n") == 1

def test_only_the_missing_stage_is_run_again(tmp_path, mnreward, files):
    out = tmp_path/"out"
    call = "tldr", "--preset", "tiny", "--output_dir", out, *files
    assert mnreward(*call)[0] == 0
    (out/"evaluation_stage.json").unlink()
    rc, text, err = mnreward(*call)
    assert rc == 0 and text.count("not repeated") == 3 and "evaluation_stage ..." in text, err
    found = json.loads((out/"results.json").read_text())
    assert found["stages"]["evaluation_stage"]["seconds"] == json.loads((out/"evaluation_stage.json").read_text())["seconds"]

@pytest.mark.parametrize("argv, message", [
    (["--preset", "huge"], "tiny"), ([], "--preset"), (["--preset", "tiny", "--set", "lora=2"], "lora_rank"),
    (["--preset", "tiny", "--set", "lora_rank"], "NAME=VALUE"), (["--preset", "tiny", "--set", "batch_size=many"], "whole number"),
    (["--preset", "tiny", "--limit", "0"], "limit"), (["--preset", "tiny", "--limit", "2"], "at least 4"),
    (["--preset", "tiny", "--seed", "-1"], "seed"), (["--preset", "tiny", "--posts", "no.jsonl"], "no such file"),
    (["--preset", "tiny", "--set", "model=no/such/model"], "no/such/model"), (["--preset", "tiny", "--set", "use_decoder=true"], "T5"),
    (["--preset", "tiny", "--set", "max_length=9999999"], "max_length")])
def test_faults_are_one_line_and_status_2(tmp_path, mnreward, files, argv, message):
    rc, _, err = mnreward("tldr", "--output_dir", tmp_path/"out", *files, *argv)
    assert rc == 2 and message in err and err.count("\n") == 1, err

def test_a_fault_in_the_data_leaves_the_folder_usable(tmp_path, mnreward, files):
    "The files are named once more, correctly, and the folder is taken"
    out = tmp_path/"out"
    bad = lines(tmp_path/"bad.jsonl", [dict(title="T", post="P", summary="one"), dict(title="T", post="Q")])
    rc, _, err = mnreward("tldr", "--preset", "tiny", "--output_dir", out, *files, "--posts", bad)
    assert rc == 2 and "row 2" in err and "summary" in err and err.count("\n") == 1
    rc, _, err = mnreward("tldr", "--preset", "tiny", "--output_dir", out, *files)
    assert rc == 0, err

def begun(out): return out.exists() and any(p.name not in ("settings.json", "start") for p in out.iterdir())

@pytest.mark.parametrize("fault, message", [
    ("news alone", "news"), ("nothing to learn", "no training row"), ("nothing held out", "no held-out row"), ("test beside train", "has train but no"),
    ("no object", "row 2 (line 2): is int, not an object"), ("chat", "no chat template"), ("max_length=3", "raise max_length"), ("batch_size=0", "at least 1"),
    ("eval_fraction=NaN", "below 1"), ("max_ranks=1", "at least 2"), ("one post", "at least two")])
def test_a_fault_is_found_before_any_training_and_leaves_the_folder_free(tmp_path, mnreward, files, fault, message):
    out, more, p = tmp_path/"out", [], paths(files)
    equal = [dict(prompt=f"Q{n}", ranked_outputs=[" a", " b"], ranks=[0, 0]) for n in range(9)]
    good = [dict(prompt=f"R{n}", ranked_outputs=[" a", " b"]) for n in range(9)]
    post = dict(title="T", post="P", summary="one")
    if fault == "news alone": more = ["--comparisons", p["cnndm"]]
    elif fault in ("nothing to learn", "nothing held out"):
        sides = [equal + good[:1], good] if fault == "nothing to learn" else [good, equal + good[:1]]
        for name, rows in zip(("train", "validation"), sides): lines(tmp_path/f"d/{name}.jsonl", rows)
        more = ["--comparisons", tmp_path/"d", "--limit", "4"]
    elif fault == "test beside train":
        for name in "train", "test": lines(tmp_path/f"d/{name}.jsonl", good)
        more = ["--comparisons", tmp_path/"d"]
    elif fault == "no object": more = ["--posts", lines(tmp_path/"bad.jsonl", [post, 5])]
    elif fault == "one post": more = ["--posts", lines(tmp_path/"bad.jsonl", [post])]
    elif fault == "chat": more = ["--posts", lines(tmp_path/"chat.jsonl", [
        dict(prompt=[dict(role="user", content=f"Post {n}")], completion="one") for n in range(20)])]
    else: more = ["--set", fault]
    rc, _, err = mnreward("tldr", "--preset", "tiny", "--output_dir", out, *files, *more)
    assert rc == 2 and message in err and err.count("\n") == 1, err
    assert not begun(out)
    if fault in ("news alone", "max_length=3"):
        rc, _, err = mnreward("tldr", "--preset", "tiny", "--output_dir", out, *files)
        assert rc == 0, err

def test_a_plan_of_a_decoder_as_a_T5_is_one_line(mnreward):
    rc, _, err = mnreward("tldr", "--preset", "tiny", "--plan", "--set", "use_decoder=true")
    assert rc == 2 and "T5" in err and err.count("\n") == 1, err

def test_rankings_that_all_are_too_long_are_one_line(tmp_path, mnreward, files):
    "Posts have room, comparisons have none"
    long = [dict(prompt=f"Post {n}", ranked_outputs=[" word"*90+" a", " b"]) for n in range(20)]
    rc, _, err = mnreward("tldr", "--preset", "tiny", "--output_dir", tmp_path/"out", *files, "--comparisons",
                          lines(tmp_path/"long.jsonl", long), "--set", "max_length=60")
    assert rc == 2 and "a completion leaves no room': 16" in err and err.count("\n") == 1, err

def test_a_changed_file_is_refused_and_the_report_says_how_it_was_divided(tmp_path, mnreward, files):
    "Rows of OpenAI's train are trained on, and those of valid1 and valid2 held out"
    out, source = tmp_path/"out", paths(files)["comparisons"]
    raw = [json.loads(x) for x in source.read_text().splitlines()]
    lines(source, [r | (dict(split="train") if n < 45 else {}) for n, r in enumerate(raw)])
    call = "tldr", "--preset", "tiny", "--output_dir", out, *files
    assert mnreward(*call)[0] == 0
    assert "5 rankings held out by OpenAI's field split." in (out/"report.md").read_text()
    assert json.loads((out/"reward/metrics.json").read_text())["training_rows"] == 15
    lines(source, raw)
    rc, _, err = mnreward(*call)
    assert rc == 2 and "comparisons_content" in err and err.count("\n") == 1

def test_an_encoder_that_writes_no_text_is_refused(tmp_path, mnreward, files):
    from transformers import BertConfig, BertModel
    from mnreward.bench import bench_tokenizer
    BertModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
              ).save_pretrained(tmp_path/"bert")
    bench_tokenizer().save_pretrained(tmp_path/"bert")
    rc, _, err = mnreward("tldr", "--preset", "tiny", "--output_dir", tmp_path/"out", *files, "--set", f"model={tmp_path/'bert'}")
    assert rc == 2 and "writes no text" in err and err.count("\n") == 1

def test_the_plan_says_what_it_computed_and_what_it_measured(tmp_path, mnreward):
    rc, text, err = mnreward("tldr", "--preset", "tiny", "--plan", "--set", "prompts_per_step=2")
    assert rc == 0 and "GB, computed" in text and "measured on" in text and "tokens a second" in text, err
    from mnreward.tldr import plan
    p = plan("h100-1b")
    assert "assumed" in p["how"] and p["fits"] and json.dumps(p)

def test_a_plan_without_room_is_computed_and_not_measured(mnreward, monkeypatch):
    import os as system
    real = system.sysconf
    monkeypatch.setattr(system, "sysconf", lambda n: 1000 if n == "SC_AVPHYS_PAGES" else real(n))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    rc, text, err = mnreward("tldr", "--preset", "h100-3b", "--plan")
    assert rc == 0 and "not measured" in text and "assumed" in text and "measured on" not in text, err

@peft
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("preset", ["tiny", "tiny-t5"])
@pytest.mark.parametrize("more", [dict(lora_rank=2), dict(lora_rank=2, gradient_checkpointing=True), dict(gradient_checkpointing=True)])
def test_throughput_can_be_measured_with_lora_and_checkpointing(preset, more):
    from mnreward.tldr import measure
    found = measure(preset, 1, prompts_per_step=2, batch_size=1, **more)
    assert found["sft"] > 0 and found["reward"] > 0

def test_without_peft_the_message_names_the_extra(tmp_path, mnreward, files, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    rc, _, err = mnreward("tldr", "--preset", "tiny", "--output_dir", tmp_path/"out", *files, "--set", "lora_rank=2")
    assert rc == 2 and "mnreward[peft]" in err and err.count("\n") == 1

@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("more", [{}, pytest.param(dict(lora_rank=2, gradient_checkpointing=True), marks=peft)])
def test_an_interrupted_recipe_ends_as_an_undisturbed_one(tmp_path, files, monkeypatch, more):
    "Ctrl-C in the first step of each training: a checkpoint, and the same call goes on from it"
    import torch
    from mnreward import Model, training
    from mnreward.tldr import replicate
    quiet = dict(disable_tqdm=True, logging_strategy="no")
    def run(name, said=None): return replicate("tiny", tmp_path/name, **paths(files), **more, logging=quiet,
                                               say=(said or []).append)
    whole, real = run("whole"), training.StopAtStep.on_step_end
    def stop(self, args, state, control, **kwargs):
        self.asked = 1. if state.global_step == 1 else None
        return real(self, args, state, control)
    monkeypatch.setattr(training.StopAtStep, "on_step_end", stop)
    for folder in "sft", "reward":
        with pytest.raises(KeyboardInterrupt, match="the same call goes on"): run("cut")
        assert [*(tmp_path/"cut"/folder).glob("checkpoint-1")]
        monkeypatch.setattr(training.StopAtStep, "on_step_end", real)
        if folder == "sft":  # let stage 1 end, and stop stage 2
            def second(self, args, state, control, **kwargs):
                self.asked = 1. if state.global_step == 1 and "reward" in str(args.output_dir) else None
                return real(self, args, state, control)
            monkeypatch.setattr(training.StopAtStep, "on_step_end", second)
    cut = run("cut")
    assert cut["stages"]["sft_stage"]["tokens_per_second"] is None is cut["stages"]["reward_stage"]["tokens_per_second"]
    a, b = (Model.from_pretrained(tmp_path/x/"reward") for x in ("whole", "cut"))
    for (k, x), y in zip(a.state_dict().items(), b.state_dict().values()):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5, msg=k)
    assert a.config.reward_shift == pytest.approx(b.config.reward_shift, abs=1e-4)
    assert not [*tmp_path.rglob("checkpoint-*")]

@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_stop_in_the_last_step_of_a_stage_stops_the_stages_after_it(tmp_path, files, monkeypatch):
    from mnreward import Model, training
    from mnreward.tldr import replicate
    import torch
    quiet = dict(disable_tqdm=True, logging_strategy="no")
    def run(name): return replicate("tiny", tmp_path/name, **paths(files), logging=quiet, say=lambda line: None)
    whole, real = run("whole"), training.StopAtStep.on_step_end
    for folder in "sft", "reward":
        def last(self, args, state, control, **kwargs):
            if state.global_step == state.max_steps and folder in str(args.output_dir): self.asked = 1.
            return real(self, args, state, control)
        monkeypatch.setattr(training.StopAtStep, "on_step_end", last)
        with pytest.raises(KeyboardInterrupt, match="the same call goes on"): run("cut")
        monkeypatch.setattr(training.StopAtStep, "on_step_end", real)
        assert not (tmp_path/f"cut/{folder}_stage.json").exists()
    cut = run("cut")
    a, b = (Model.from_pretrained(tmp_path/x/"reward").state_dict() for x in ("whole", "cut"))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert cut["stages"]["sft_stage"]["steps"] == whole["stages"]["sft_stage"]["steps"]

@peft
def test_with_lora_the_saved_reward_model_is_ordinary_and_little_has_moved(tmp_path, files):
    from mnreward import Model
    from mnreward.tldr import replicate
    import torch
    replicate("tiny", tmp_path/"o", **paths(files), lora_rank=2, logging=dict(disable_tqdm=True), say=lambda line: None)
    a, b = Model.from_backbone(tmp_path/"o/start").state_dict(), Model.from_pretrained(tmp_path/"o/reward").state_dict()
    assert [*a] == [*b]
    moved = {k for k in a if not torch.equal(a[k], b[k])}
    assert "head.weight" in moved and all("proj" in k for k in moved - {"head.weight"}) and len(moved) > 8

def test_two_processes_run_the_recipe_to_the_report_of_one(tmp_path, files, two_processes):
    "All four stages under torchrun, and again: nothing is repeated"
    call = dict(output_dir=tmp_path/"two", **paths(files)) | dict(logging=dict(disable_tqdm=True, logging_strategy="no", use_cpu=True))
    script = tmp_path/"recipe.py"
    script.write_text(f"import json; from mnreward.tldr import replicate; replicate('tiny', **json.loads({json.dumps(call, default=str)!r}))")
    assert two_processes(script).count("evaluation_stage ...") == 1
    assert two_processes(script).count("not repeated") == 4
    from mnreward.tldr import replicate
    one = replicate("tiny", tmp_path/"one", **paths(files), logging=dict(disable_tqdm=True, logging_strategy="no"), say=lambda line: None)
    two = json.loads((tmp_path/"two/results.json").read_text())
    for name in ("posts", "steps", "tokens"): assert one["stages"]["sft_stage"][name] == two["stages"]["sft_stage"][name]
    for name in ("loss_before", "loss_after"): assert one["stages"]["sft_stage"][name] == pytest.approx(two["stages"]["sft_stage"][name], abs=1e-3)
    assert one["stages"]["reward_stage"]["steps"] == two["stages"]["reward_stage"]["steps"]
    assert (tmp_path/"two/report.md").exists() and not [*(tmp_path/"two").rglob("checkpoint-*")]

@pytest.mark.skipif(not data, reason="MNREWARD_DATA is not set: no human comparisons")
def test_the_recipe_runs_on_real_posts_and_comparisons(tmp_path, mnreward):
    src, out = Path(data), tmp_path/"out"
    rc, text, err = mnreward("tldr", "--preset", "tiny", "--output_dir", out, "--comparisons", src/"tldr/comparisons",
        "--posts", src/"tldr/posts.jsonl", "--cnndm", src/"cnndm/comparisons", "--limit", 16)
    assert rc == 0, err
    found = json.loads((out/"results.json").read_text())
    assert set(found["evaluation"]) == {"validation", "valid1", "valid2", "cnndm"}
    read = found["stages"]["sft_stage"]["read"]
    assert read["judgements"] == 1311 and read["posts in all"] == 2111 and read["posts left out: in the comparisons"] == 0
    assert {"by_confidence", "by_policies", "by_batch"} <= found["evaluation"]["validation"]["evaluation"].keys()
