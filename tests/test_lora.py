"Adapters: what trains, what is saved, that a stop, a shared prompt, checkpointing and a second process change nothing"
import json
from pathlib import Path

import pytest
import torch

from mnreward import DataError, Model, train
from mnreward.training import Interrupted, StopAtStep

options = dict(lora_rank=2, max_steps=4, prompts_per_step=4, per_device_train_batch_size=2, learning_rate=1e-2, max_length=96,
               eval_fraction=0.2, disable_tqdm=True, use_cpu=True, save_steps=1, eval_steps=1)


def rewards(model, rows): return torch.tensor(sum(model.score([r["prompt"] for r in rows], [r["ranked_outputs"] for r in rows]), []))


@pytest.fixture
def whole(rows, decoder, tmp_path): return train(rows, decoder, tmp_path/"whole", **options)


def test_the_head_trains_and_the_backbone_stays(whole, decoder, tmp_path, rows):
    fresh = Model.from_backbone(decoder).backbone.state_dict()
    for name, weight in whole.backbone.state_dict().items():
        if "lora_" not in name: assert torch.equal(weight, fresh[name.replace(".base_layer", "")]), name
    torch.manual_seed(42)
    assert all(p.abs().sum() > 0 for n, p in whole.named_parameters() if "lora_B" in n)
    names = {f.name for f in (tmp_path/"whole").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "config.json"} <= names and "model.safetensors" not in names
    again = Model.from_pretrained(tmp_path/"whole")
    torch.testing.assert_close(rewards(again, rows), rewards(whole, rows))
    assert torch.equal(again.head.weight, whole.head.weight)


def test_the_best_checkpoint_is_the_model_that_is_returned(whole, tmp_path, rows):
    states = sorted((tmp_path/"whole").glob("checkpoint-*/trainer_state.json"), key=lambda p: int(p.parent.name.split("-")[1]))
    best = json.loads(states[-1].read_text())["best_model_checkpoint"]
    torch.testing.assert_close(rewards(Model.from_pretrained(best), rows), rewards(whole, rows))


def test_a_merged_model_is_an_ordinary_one_with_equal_rewards(whole, decoder, rows, tmp_path):
    merged = train(rows, decoder, tmp_path/"merged", merge_lora=True, **options)
    assert (tmp_path/"merged/model.safetensors").exists() and not (tmp_path/"merged/adapter_config.json").exists()
    torch.testing.assert_close(rewards(merged, rows), rewards(whole, rows), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(rewards(Model.from_pretrained(tmp_path/"merged"), rows), rewards(merged, rows))


def test_a_resumed_run_gives_the_weights_of_an_undisturbed_one(whole, rows, decoder, tmp_path, monkeypatch):
    def stop(self, args, state, control, **kwargs):
        self.asked = state.global_step == 2
        return real(self, args, state, control, **kwargs)
    real = StopAtStep.on_step_end
    with monkeypatch.context() as m:
        m.setattr(StopAtStep, "on_step_end", stop)
        with pytest.raises(Interrupted): train(rows, decoder, tmp_path/"cut", **options)
    again = train(rows, decoder, tmp_path/"cut", resume_from_checkpoint=True, **options)
    for (name, a), b in zip(whole.named_parameters(), again.parameters()): torch.testing.assert_close(a, b, msg=name)


@pytest.mark.parametrize("more", [dict(share_prompt="no"), dict(gradient_checkpointing=True)], ids=["padded", "checkpointing"])
def test_neither_sharing_nor_checkpointing_changes_what_is_learned(whole, rows, decoder, tmp_path, more):
    other = train(rows, decoder, tmp_path/"other", **options | more)
    layouts = [json.loads((tmp_path/x/"metrics.json").read_text())["training"]["layout"] for x in ("whole", "other")]
    assert layouts == ["shared", "padded" if "share_prompt" in more else "shared"]
    torch.testing.assert_close(rewards(other, rows), rewards(whole, rows), atol=1e-4, rtol=1e-3)


def test_training_goes_on_from_saved_adapters(whole, rows, tmp_path):
    more = {k: v for k, v in options.items() if k != "lora_rank"}
    again = train(rows, tmp_path/"whole", tmp_path/"more", **more)
    assert not torch.equal(rewards(again, rows), rewards(whole, rows))
    torch.testing.assert_close(rewards(Model.from_pretrained(tmp_path/"more"), rows), rewards(again, rows))
    with pytest.raises(DataError, match="has adapters already"): train(rows, tmp_path/"whole", tmp_path/"no", **options)
    assert not (tmp_path/"no").exists()


def test_a_ready_config_of_peft_is_taken_as_it_is(rows, decoder, tmp_path):
    from peft import LoraConfig
    more = {k: v for k, v in options.items() if k != "lora_rank"}
    config = LoraConfig(r=3, lora_alpha=3, target_modules=["q_proj"], use_rslora=True)
    model = train(rows, decoder, tmp_path/"out", peft_config=config, **more)
    trained = {n.split(".")[-4] for n, p in model.named_parameters() if p.requires_grad and "lora_" in n}
    assert trained == {"q_proj"}
    torch.testing.assert_close(rewards(Model.from_pretrained(tmp_path/"out"), rows), rewards(model, rows))


def test_adapters_on_top_of_a_saved_reward_model_name_it_as_their_base(reward_model, rows, tmp_path):
    model = train(rows, reward_model, tmp_path/"out", **options)
    base = json.loads((tmp_path/"out/adapter_config.json").read_text())["base_model_name_or_path"]
    assert Path(base) == Path(reward_model).resolve()
    torch.testing.assert_close(rewards(Model.from_pretrained(tmp_path/"out"), rows), rewards(model, rows))


def test_without_peft_one_line_says_what_to_install(rows, decoder, tmp_path, monkeypatch):
    import mnreward.training as training
    real = training.find_spec
    monkeypatch.setattr(training, "find_spec", lambda name: None if name == "peft" else real(name))
    with pytest.raises(DataError, match=r"pip install 'mnreward\[peft\]'"): train(rows, decoder, tmp_path/"out", **options)
    assert not (tmp_path/"out").exists()
