"Prompts encoded once: the course of training, the switch of the command line, T5 with its decoder"
import json, os, runpy
from pathlib import Path
import pytest

tool = Path(__file__).parents[1]/"nbs"/"_tools"/"same_curve.py"
data = os.environ.get("MNREWARD_DATA")

def whole_t5(folder, out):
    "A folder with encoder and decoder of an untrained T5, and the tokenizer of `folder`"
    import torch, transformers
    config = transformers.T5Config.from_pretrained(folder, is_encoder_decoder=True, decoder_start_token_id=0, num_decoder_layers=2)
    torch.manual_seed(0)
    transformers.T5ForConditionalGeneration(config).save_pretrained(out)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(out)
    return out

def train(mnreward, file, model, out, *more):
    return mnreward("train", file, "--model", model, "--output_dir", out, "--max_steps", 3, "--prompts_per_step", 4, "--disable_tqdm", "true",
                    "--eval_strategy", "no", "--save_strategy", "no", "--use_cpu", *more)

def scored(path): return [json.loads(x)["rewards"] for x in Path(path).read_text().splitlines()]

def test_training_takes_the_same_course_shared_or_not(rankings, decoder):
    found = runpy.run_path(str(tool))["same_curve"](rankings, decoder, steps=6, prompts_per_step=4, max_length=512, learning_rate=1e-2)
    assert (found["shared"]["layout"], found["rows"]["layout"]) == ("shared", "padded")
    losses = found["rows"]["losses"]
    assert found["worst"] < 1e-4 < 1e-2 < max(losses) - min(losses), losses
    assert found["shared"]["cells"] < 0.8*found["rows"]["cells"]

@pytest.mark.skipif(not data, reason="MNREWARD_DATA is not set: no human rankings")
def test_training_takes_the_same_course_for_20_steps_on_human_rankings(decoder):
    found = runpy.run_path(str(tool))["same_curve"](Path(data)/"rankings"/"finegrained_qa.jsonl", decoder, steps=20, max_length=1024, learning_rate=1e-3)
    losses = found["rows"]["losses"]
    assert found["worst"] < 1e-4 < 1e-2 < max(losses) - min(losses), losses
    assert found["shared"]["cells"] < 0.55*found["rows"]["cells"]

def test_the_command_line_shares_where_it_can_and_says_so(mnreward, rankings, decoder, tmp_path):
    for switch, layout in ("auto", "shared"), ("no", "padded"):
        out = tmp_path/switch
        assert train(mnreward, rankings, decoder, out, "--share_prompt", switch)[0] == 0
        assert json.loads((out/"metrics.json").read_text())["training"]["layout"] == layout
        assert mnreward("score", rankings, "--model", tmp_path/"auto", "--out", tmp_path/f"{switch}.jsonl", "--share_prompt", switch)[0] == 0
    for a, b in zip(scored(tmp_path/"auto.jsonl"), scored(tmp_path/"no.jsonl"), strict=True): assert a == pytest.approx(b, abs=1e-5)

def test_a_model_that_cannot_share_is_refused_with_the_reason_and_the_switch(mnreward, rankings, backbone, reward_model, tmp_path):
    rc, _, err = train(mnreward, rankings, backbone, tmp_path/"out", "--share_prompt", "yes")
    assert rc == 2 and "reads both ways" in err and "--share_prompt auto" in err and err.count("\n") == 1
    assert not (tmp_path/"out"/"model.safetensors").exists()
    rc, _, err = mnreward("score", rankings, "--model", reward_model, "--out", tmp_path/"s.jsonl", "--share_prompt", "yes")
    assert rc == 2 and "reads both ways" in err and not (tmp_path/"s.jsonl").exists()
    rc, _, err = train(mnreward, rankings, backbone, tmp_path/"out2", "--share_prompt", "perhaps")
    assert rc == 2 and "perhaps" in err and not (tmp_path/"out2").exists()

def test_dropout_turns_sharing_off_in_training_and_not_in_scoring(rankings, decoder, rows, tmp_path):
    from mnreward.model import Model
    from mnreward.rankings import DataError
    from mnreward.training import RankingTrainer, training_arguments
    model = Model.from_backbone(decoder, 5)
    for layer in model.backbone.layers: layer.self_attn.attention_dropout = 0.1
    args = training_arguments(tmp_path/"out", 4, evaluated=False, use_cpu=True, disable_tqdm=True)
    assert RankingTrainer(model, args, model.tokenize(rows)).layout == "padded"
    assert model.layout() == "shared"
    with pytest.raises(DataError, match="dropout is on"): RankingTrainer(model, args, model.tokenize(rows), share_prompt="yes")

def test_t5_with_its_decoder_trains_and_scores_from_the_command_line(mnreward, rankings, backbone, reward_model, tmp_path):
    folder, out = whole_t5(backbone, tmp_path/"t5"), tmp_path/"out"
    assert train(mnreward, rankings, folder, out, "--use_decoder")[0] == 0
    assert json.loads((out/"metrics.json").read_text())["training"]["layout"] == "shared"
    for switch in ("auto", "no"):
        assert mnreward("score", rankings, "--model", out, "--out", tmp_path/switch, "--share_prompt", switch)[0] == 0
    for a, b in zip(scored(tmp_path/"auto"), scored(tmp_path/"no"), strict=True): assert a == pytest.approx(b, abs=1e-5)
    rc, _, err = train(mnreward, rankings, reward_model, tmp_path/"out2", "--use_decoder")
    assert rc == 2 and "use_decoder" in err
