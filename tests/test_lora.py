"Adapters: what trains, what is saved, that a stop, a shared prompt, checkpointing and a second process change nothing"
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from mnreward import DataError, Model, train
from mnreward.training import Interrupted, StopAtStep

options = dict(lora_rank=2, max_steps=4, prompts_per_step=4, per_device_train_batch_size=2, learning_rate=1e-2, max_length=96,
               eval_fraction=0.2, disable_tqdm=True, use_cpu=True, save_steps=1, eval_steps=1)


in_full = {k: v for k, v in options.items() if k != "lora_rank"}


def rewards(model, rows): return torch.tensor(sum(model.score([r["prompt"] for r in rows], [r["ranked_outputs"] for r in rows]), []))


@pytest.fixture(scope="module")
def trained(rows, decoder, tmp_path_factory):
    "A model that was trained with adapters, and its folder"
    folder = tmp_path_factory.mktemp("trained")/"whole"
    return train(rows, decoder, folder, **options), folder


@pytest.fixture
def whole(trained, tmp_path):
    "The model; the test has a copy of its folder"
    shutil.copytree(trained[1], tmp_path/"whole")
    return trained[0]


def test_the_head_trains_and_the_backbone_stays(whole, decoder, tmp_path, rows):
    fresh = Model.from_backbone(decoder).backbone.state_dict()
    for name, weight in whole.backbone.state_dict().items():
        if "lora_" not in name: assert torch.equal(weight, fresh[name.replace(".base_layer", "")]), name
    assert all(p.abs().sum() > 0 for n, p in whole.named_parameters() if "lora_B" in n)
    names = {f.name for f in (tmp_path/"whole").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "reward.json"} <= names and "model.safetensors" not in names
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
        self.asked = 1.0 if state.global_step == 2 else None
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
    again = train(rows, tmp_path/"whole", tmp_path/"more", **in_full)
    assert not torch.equal(rewards(again, rows), rewards(whole, rows))
    torch.testing.assert_close(rewards(Model.from_pretrained(tmp_path/"more"), rows), rewards(again, rows))
    with pytest.raises(DataError, match="has adapters already"): train(rows, tmp_path/"whole", tmp_path/"no", **options)
    assert not (tmp_path/"no").exists()


def test_a_ready_config_of_peft_is_taken_as_it_is(rows, decoder, tmp_path):
    from peft import LoraConfig
    config = LoraConfig(r=3, lora_alpha=3, target_modules=["q_proj"], use_rslora=True)
    model = train(rows, decoder, tmp_path/"out", peft_config=config, **in_full)
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


def loads_as_it_is(model, folder, rows):
    torch.testing.assert_close(rewards(Model.from_pretrained(folder), rows), rewards(model, rows), atol=1e-5, rtol=1e-4)


def test_an_older_model_in_the_folder_is_not_what_loads(whole, rows, decoder, tmp_path):
    model = train(rows, decoder, tmp_path/"whole", overwrite=True, **in_full)
    loads_as_it_is(model, tmp_path/"whole", rows)
    model = train(rows, decoder, tmp_path/"whole", overwrite=True, **options)
    loads_as_it_is(model, tmp_path/"whole", rows)
    assert not (tmp_path/"whole/model.safetensors").exists()
    model = Model.from_pretrained(tmp_path/"whole").merge_adapters()
    with torch.no_grad(): model.head.weight.mul_(2)
    model.save_pretrained(tmp_path/"whole")
    loads_as_it_is(model, tmp_path/"whole", rows)


def test_adapters_never_go_into_the_folder_of_their_base(reward_model, rows, tmp_path):
    shutil.copytree(reward_model, tmp_path/"base")
    with pytest.raises(DataError, match="choose another folder"):
        train(rows, tmp_path/"base", tmp_path/"base", overwrite=True, **options)
    with pytest.raises(ValueError, match="choose another folder"):
        Model.from_pretrained(tmp_path/"base").add_adapters().save_pretrained(tmp_path/"base")
    assert {f.name for f in (tmp_path/"base").iterdir()} == {f.name for f in reward_model.iterdir()}


def test_adapters_name_the_weights_that_they_were_added_to(whole, rows, decoder, tmp_path):
    full = train(rows, decoder, tmp_path/"full", **in_full)
    loads_as_it_is(train(rows, full, tmp_path/"on full", **options), tmp_path/"on full", rows)
    merged = Model.from_pretrained(tmp_path/"whole").merge_adapters()
    with pytest.raises(DataError, match="made in memory"): train(rows, merged, tmp_path/"no", **options)
    assert not (tmp_path/"no").exists() and all(p.requires_grad for p in merged.parameters())


def test_a_base_that_is_gone_is_named(rows, decoder, tmp_path):
    shutil.copytree(decoder, tmp_path/"base")
    train(rows, tmp_path/"base", tmp_path/"out", **options)
    shutil.rmtree(tmp_path/"base")
    with pytest.raises(OSError, match="out' holds adapters of .*base"): Model.from_pretrained(tmp_path/"out")


def test_merging_is_for_models_with_adapters(whole, rows, decoder, tmp_path):
    merged = train(rows, tmp_path/"whole", tmp_path/"merged", merge_lora=True, **in_full)
    assert (tmp_path/"merged/model.safetensors").exists()
    loads_as_it_is(merged, tmp_path/"merged", rows)
    with pytest.raises(DataError, match="merge_lora needs"): train(rows, decoder, tmp_path/"no", merge_lora=True, **in_full)
    with pytest.raises(DataError, match="merge_lora"):
        train(rows, decoder, tmp_path/"no", merge_lora=True, load_in_4bit=True, **options)
    assert not (tmp_path/"no").exists()


@pytest.mark.parametrize("resumed, said", [
    (in_full, "holds adapters"), (options | dict(lora_rank=3), "r is 2"), (options | dict(lora_alpha=30), "lora_alpha is 4"),
    (options | dict(lora_target="q_proj"), "target_modules is"), ("in full", "holds no adapters")])
def test_a_checkpoint_of_another_kind_is_refused(whole, resumed, said, rows, decoder, tmp_path):
    if resumed == "in full":
        train(rows, decoder, tmp_path/"whole", overwrite=True, **in_full)
        resumed = options
    before = (tmp_path/"whole/metrics.json").read_text()
    with pytest.raises(DataError, match=said):
        train(rows, decoder, tmp_path/"whole", resume_from_checkpoint=True, **resumed | dict(max_steps=5))
    assert (tmp_path/"whole/metrics.json").read_text() == before


def test_two_processes_train_and_save_what_one_does(whole, rows, rankings, decoder, tmp_path, two_processes):
    words = [w for k, v in options.items() for w in ((f"--{k}", str(v)) if k != "use_cpu" else ("--use_cpu",))]
    command = "import sys; from mnreward.cli import main; sys.exit(main())"
    two_processes("--no-python", sys.executable, "-c", command, "train", rankings, "--model", decoder, "--output_dir", tmp_path/"two", *words)
    torch.testing.assert_close(rewards(Model.from_pretrained(tmp_path/"two"), rows), rewards(whole, rows), atol=1e-4, rtol=1e-3)
