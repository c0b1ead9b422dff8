"Going on from what a killed job left"
import json, shutil, pytest, torch
from mnreward import Model
from mnreward.training import last_checkpoint, train, unfinished
from mnreward.rankings import DataError

options = dict(prompts_per_step=8, save_steps=2, eval_strategy="no", learning_rate=1e-2, seed=1, use_cpu=True, disable_tqdm=True)

@pytest.fixture(scope="module")
def runs(rows, backbone, tmp_path_factory):
    "A run of four steps, and one of six that never stopped"
    where = tmp_path_factory.mktemp("runs")
    train(rows, backbone, where/"four", max_steps=4, **options)
    return where/"four", train(rows, backbone, where/"six", max_steps=6, lr_scheduler_type="constant", **options), where

def half(file): file.write_bytes(file.read_bytes()[:file.stat().st_size//2])

DAMAGE = {"no state": lambda c: (c/"trainer_state.json").unlink(), "an empty state": lambda c: (c/"trainer_state.json").write_text(""), "half the weights": lambda c: half(c/"model.safetensors"), "no weights": lambda c: (c/"model.safetensors").unlink(),
          "half the optimizer": lambda c: half(c/"optimizer.pt"), "no optimizer": lambda c: (c/"optimizer.pt").unlink(), "no schedule": lambda c: (c/"scheduler.pt").unlink(), "half the random state": lambda c: half(c/"rng_state.pth"),
          "half the config": lambda c: half(c/"config.json"), "nothing yet": lambda c: [f.unlink() for f in c.iterdir()]}

@pytest.mark.parametrize("damage", DAMAGE)
def test_a_checkpoint_that_is_not_whole_is_passed_over_and_named(damage, runs, tmp_path, capsys):
    shutil.copytree(runs[0], tmp_path/"run")
    assert unfinished(tmp_path/"run/checkpoint-4") is None and last_checkpoint(tmp_path/"run").name == "checkpoint-4"
    DAMAGE[damage](tmp_path/"run/checkpoint-4")
    assert last_checkpoint(tmp_path/"run").name == "checkpoint-2"
    assert "checkpoint-4 is passed over: " in capsys.readouterr().err

def test_training_goes_on_from_the_checkpoint_before_the_damaged_one_to_the_same_weights(runs, rows, backbone, tmp_path):
    whole = runs[1]
    train(rows, backbone, tmp_path/"cut", max_steps=6, lr_scheduler_type="constant", **options)
    for name in "model.safetensors", "config.json", "reward_model.py": (tmp_path/"cut"/name).unlink()
    half(tmp_path/"cut/checkpoint-6/optimizer.pt")
    again = train(rows, backbone, tmp_path/"cut", max_steps=6, lr_scheduler_type="constant", resume_from_checkpoint=True, **options)
    for (name, a), b in zip(whole.named_parameters(), again.parameters()): assert torch.equal(a, b), name

def test_a_damaged_checkpoint_that_is_asked_for_by_name_is_refused(runs, rows, backbone, tmp_path):
    shutil.copytree(runs[0], tmp_path/"run")
    half(tmp_path/"run/checkpoint-4/optimizer.pt")
    with pytest.raises(DataError, match="checkpoint-4: optimizer.pt is not complete"):
        train(rows, backbone, tmp_path/"run", max_steps=6, resume_from_checkpoint=str(tmp_path/"run/checkpoint-4"), **options)
    for c in "checkpoint-2", "checkpoint-4": half(tmp_path/"run"/c/"trainer_state.json")
    with pytest.raises(DataError, match="nothing to resume"): train(rows, backbone, tmp_path/"run", max_steps=6, resume_from_checkpoint=True, **options)

def test_resuming_a_finished_run_trains_no_further_step(runs, rows, backbone, tmp_path):
    shutil.copytree(runs[0], tmp_path/"run")
    before = Model.from_pretrained(tmp_path/"run").state_dict()
    for _ in range(2):
        again = train(rows, backbone, tmp_path/"run", max_steps=4, resume_from_checkpoint=True, **options)
        assert json.loads((tmp_path/"run/metrics.json").read_text())["training"]["steps"] == 4
        assert all(torch.equal(w, again.state_dict()[k]) for k, w in before.items())
    assert sorted(x.name for x in (tmp_path/"run").glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]

def test_a_folder_of_ones_own_is_no_checkpoint(tmp_path):
    (tmp_path/"checkpoint-of-my-own").mkdir()
    assert last_checkpoint(tmp_path) is None

def test_overwrite_removes_checkpoints_of_training_and_no_folder_of_ones_own(runs, rows, backbone, tmp_path):
    shutil.copytree(runs[0], tmp_path/"run")
    (tmp_path/"run/checkpoint-of-my-own").mkdir()
    (tmp_path/"run/checkpoint-of-my-own/thesis.txt").write_text("mine")
    train(rows, backbone, tmp_path/"run", max_steps=2, overwrite=True, **options)
    assert sorted(x.name for x in (tmp_path/"run").glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-of-my-own"]
    assert (tmp_path/"run/checkpoint-of-my-own/thesis.txt").read_text() == "mine"
