"Long runs: memory stays flat over many rankings and many steps"
import gc, json, os
import pytest
from sizes import sizes

def resident():
    "MB that this process holds"
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
@sizes(20_000, 1_000_000)
def test_memory_of_score_stays_flat_over_generated_rankings(size, tmp_path, rows, reward_model, record, monkeypatch):
    "The rows are read, checked, tokenised, scored and written; only the arithmetic of the model is replaced, by the length of each completion"
    from mnreward import scoring
    part, seen = tmp_path/"big.jsonl", []
    with open(part, "w") as f:
        for i in range(size): f.write(json.dumps(dict(rows[i % len(rows)], id=str(i))) + "\n")
    def lengths(rankings, model, batch_size, share_prompt, report):
        if len(seen) % 50 == 0: seen.append(resident())
        else: seen.append(seen[-1])
        return [[float(len(y)) for y in r["ranked_outputs"]] for r in rankings]
    monkeypatch.setattr(scoring, "shared_rewards", lengths)
    report = scoring.score_file(part, reward_model, tmp_path/"out.jsonl")
    assert report["rows scored"] == size
    with open(tmp_path/"out.jsonl") as f:
        assert sum(json.loads(line)["id"] == str(i) for i, line in enumerate(f)) == size
    early, late = max(seen[:len(seen)//5]), max(seen[len(seen)//5:])
    record("memory of score", "flat", int(late - early < 40), 1, f"{size:,} rankings: {early:.0f} MB in the first fifth, at most {late:.0f} MB after it")
    assert late - early < 40, (early, late)

@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
@sizes(60, 2000)
def test_training_leaks_nothing(size, tmp_path, rows, backbone, record):
    from transformers import TrainerCallback
    from mnreward.training import RankingTrainer, load_model, tokenize_both, training_arguments
    seen = []
    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step % max(size // 20, 1) == 0: seen.append(resident())
    model = load_model(backbone)
    train_set, _ = tokenize_both(model, rows)
    args = training_arguments(tmp_path, 4, False, max_steps=size, save_strategy="no", use_cpu=True, disable_tqdm=True, logging_steps=10**6)
    RankingTrainer(model, args, train_set, callbacks=[Watch()]).train()
    early, late = max(seen[:5]), max(seen[5:])
    record("memory of training", "flat", int(late - early < 40), 1, f"{size:,} steps: {early:.0f} MB in the first quarter, at most {late:.0f} MB after it")
    assert late - early < 40, seen
