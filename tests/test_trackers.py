"What leaves a training run for other places: histograms for a tracker, a folder for the Hub"
import json, types
from pathlib import Path
import pytest
from mnreward import Model, training
from mnreward.model import RewardConfig

small = dict(max_steps=2, eval_steps=1, save_steps=1, prompts_per_step=4, learning_rate=1e-2, seed=0, use_cpu=True, disable_tqdm=True)

def test_rewards_and_gaps_of_every_validation_are_histograms_in_tensorboard(rows, backbone, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model = training.train(rows, backbone, tmp_path/"out", report_to="tensorboard", **small)
    folder, = {f.parent for f in (tmp_path/"out").rglob("events.out.tfevents*")}
    log = events.EventAccumulator(str(folder), size_guidance=dict(histograms=0))
    log.Reload()
    assert {"eval/rewards", "eval/gaps"} <= {*log.Tags()["histograms"]} and "eval/accuracy" in log.Tags()["scalars"]
    seen = {x.step: x.histogram_value for x in log.Histograms("eval/gaps")}
    accuracy = {x.step: x.value for x in log.Scalars("eval/accuracy")}
    assert {*seen} == {*accuracy} == {1, 2}
    judged = json.loads((tmp_path/"out/metrics.json").read_text())["evaluation"]["judgements"]
    assert all(h.num == judged and h.max > 0 and h.min < h.max for h in seen.values())
    rewards = log.Histograms("eval/rewards")[-1].histogram_value
    assert abs(rewards.sum) < 1e-3 * rewards.num  # each less the mean of its prompt

def test_a_gap_is_the_better_completions_reward_less_the_worse_ones():
    import numpy as np
    found = training.reward_histograms(np.array([[3., 1., np.nan], [5., 5., 9.]]), np.array([[[0, 1, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0], [1, 1, 0]]]))
    assert found["eval/gaps"].tolist() == [2, 4, 4] and found["eval/rewards"] == pytest.approx([1, -1, -4/3, -4/3, 8/3])

def test_weights_and_biases_gets_the_same_histograms():
    sent = []
    WandbCallback = type("WandbCallback", (), dict(_wandb=types.SimpleNamespace(log=sent.append, Histogram=list)))
    training.log_histograms([WandbCallback()], 7, {"eval/gaps": [1, 2]})
    assert sent == [{"eval/gaps": [1, 2], "train/global_step": 7}]

def test_push_to_hub_sends_the_folder_with_our_card_and_no_checkpoints(rows, backbone, tmp_path, monkeypatch):
    from huggingface_hub import HfApi
    sent = []
    monkeypatch.setattr(HfApi, "create_repo", lambda self, name, **_: types.SimpleNamespace(repo_id=name))
    monkeypatch.setattr(HfApi, "upload_folder", lambda self, **o: sent.append(o))  # Trainer's way
    monkeypatch.setattr(training, "upload_folder", lambda **o: sent.append(o))
    training.train(rows, backbone, tmp_path/"out", push_to_hub=True, hub_model_id="me/rm", hub_token="secret", **small)
    call, = sent  # one, at the end
    assert call["repo_id"] == "me/rm" and Path(call["folder_path"]) == tmp_path/"out" and "checkpoint-*" in call["ignore_patterns"]
    card = (tmp_path/"out/README.md").read_text()
    assert "pipeline_tag: text-classification" in card and "Held-out metrics" in card and "secret" not in card + (tmp_path/"out/metrics.json").read_text()

def test_model_push_to_hub_uploads_what_save_pretrained_writes_with_the_card_of_its_folder(rows, backbone, tmp_path, monkeypatch):
    import huggingface_hub
    sent = {}
    def upload(repo_id, folder_path, **_): sent[repo_id] = {f.name: f.read_bytes() for f in Path(folder_path).iterdir()}
    monkeypatch.setattr(huggingface_hub, "create_repo", lambda name, **_: types.SimpleNamespace(repo_id=name))
    monkeypatch.setattr(huggingface_hub, "upload_folder", upload)
    training.train(rows, backbone, tmp_path/"out", **small)
    Model.from_pretrained(tmp_path/"out").push_to_hub("me/rm")
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "metrics.json"} <= {*sent["me/rm"]} and not [x for x in sent["me/rm"] if "checkpoint" in x]
    assert sent["me/rm"]["README.md"] == (tmp_path/"out/README.md").read_bytes()
    assert RewardConfig.from_dict(json.loads(sent["me/rm"]["config.json"])).model_type == "mnreward"
