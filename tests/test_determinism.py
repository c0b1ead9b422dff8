"The same command twice gives the same bytes on a CPU: weights, rewards and metrics, with and without data workers, shared prompts or not"
import json
import pytest
from mnreward.training import train
from mnreward.scoring import evaluate_file, score_file

options = dict(max_steps=3, prompts_per_step=8, learning_rate=1e-2, use_cpu=True, disable_tqdm=True, seed=3)

def bytes_of(folder): return {x.name: x.read_bytes() for x in folder.iterdir() if x.suffix in (".safetensors", ".jsonl") or x.name == "evaluation.json"}

@pytest.mark.parametrize("shared", ["yes", "no"])
def test_the_same_training_scoring_and_evaluation_give_the_same_bytes(shared, tmp_path, rows, rankings, decoder):
    found = []
    for n, workers in enumerate((0, 0, 2)):
        out = tmp_path/str(n)
        train(rows, decoder, out, share_prompt=shared, dataloader_num_workers=workers, **options)
        score_file(rankings, out, out/"scored.jsonl", share_prompt=shared)
        evaluate_file(rankings, out, output_dir=out/"e", share_prompt=shared)
        metrics = json.loads((out/"metrics.json").read_text())
        found.append(bytes_of(out) | bytes_of(out/"e") | dict(metrics=metrics["evaluation"], data=metrics["data"]))
        assert {"model.safetensors", "scored.jsonl", "evaluation.json"} <= found[-1].keys()
    assert found[0] == found[1]  # twice
    assert found[0] == found[2]  # with workers
