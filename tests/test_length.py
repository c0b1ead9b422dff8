"What length is worth is measured, taken out on request, and kept with the model"
import json, pytest
from mnreward import Model
from mnreward.evaluation import length_correlation, without_length

def test_a_penalty_that_is_asked_for_is_fitted_on_training_data_saved_and_subtracted(rows, backbone, tmp_path, mnreward):
    (tmp_path/"rows.json").write_text(json.dumps(rows))
    go = lambda out, *more: mnreward("train", tmp_path/"rows.json", "--model", backbone, "--output_dir", tmp_path/out, "--max_steps", 4, "--prompts_per_step", 4, "--learning_rate", 1e-2, "--eval_fraction", 0,
                                     "--disable_tqdm", "True", "--use_cpu", "--seed", 1, *more)
    assert go("plain")[0] == 0
    rc, _, err = go("freed", "--length_penalty")
    assert rc == 0, err
    plain, freed = (Model.from_pretrained(tmp_path/x).eval() for x in ("plain", "freed"))
    beta = freed.config.penalty_per_character
    assert plain.config.penalty_per_character == 0 != beta
    r, r2 = (m.score_rankings(rows) for m in (plain, freed))
    for a, b in zip(without_length(rows, r, beta), r2): assert a == pytest.approx(b, abs=1e-5)
    assert abs(length_correlation(rows, r2)) < 1e-4 < abs(length_correlation(rows, r))

def test_evaluate_shows_what_a_penalty_would_change(rows, reward_model, tmp_path, mnreward):
    (tmp_path/"train.json").write_text(json.dumps(rows[:20])); (tmp_path/"test.json").write_text(json.dumps(rows[20:]))
    rc, text, err = mnreward("evaluate", tmp_path/"test.json", "--model", reward_model, "--output_dir", tmp_path/"e", "--length_penalty", tmp_path/"train.json")
    assert rc == 0, err
    found = json.loads((tmp_path/"e/evaluation.json").read_text())["length"]
    assert found["fitted_on"] == 20 and found["penalty"] != 0 and {"value", "low", "high"} <= found["difference"]["accuracy"].keys()
    assert abs(found["correlation_with_penalty"]) < abs(found["correlation"]) + 0.2 and "With a length penalty" in (tmp_path/"e/evaluation.md").read_text()
