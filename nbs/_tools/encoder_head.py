"""Where an encoder's reward is read, and what a length penalty changes: MiniLM on the TL;DR comparisons (the chapters 'The model' and 'Use it').

    MNREWARD_DATA=FOLDER python nbs/_tools/encoder_head.py [--seeds 2] [--out nbs/results/encoder_head.json] [--toy]

A quarter of the posts is the test set. Three ways: the classifier of its family, which reads the first token ("classifier"); a linear head at the first token ("first"); a linear head at the last ("last").
One epoch of 16 prompts a step at learning rate 4e-4, prompts cut at 256 tokens, the same for all. The penalty is fitted on the training part and judged on the test set. --toy: a few rows and steps, to test the path.
"""
import argparse, os, tempfile, time
from pathlib import Path

import torch, transformers
from mnreward.backbone import load_backbone
from mnreward.evaluation import compare, evaluate, length_correlation, length_penalty, longer_wins, without_length
from mnreward.files import describe_run, load_rankings, write_json
from mnreward.model import Model
from mnreward.rankings import split_by_prompt
from mnreward.training import RankingTrainer, run_training, training_arguments
from overfitting import minilm

class First(Model):
    "A linear head at the first token"
    def rewards(self, input_ids, attention_mask=None, ends=None, rows=None, **layout):
        return super().rewards(input_ids, attention_mask, torch.zeros_like(ends), rows, **layout)

def made(way, seed):
    transformers.set_seed(seed)
    if way == "classifier": return Model.from_backbone(minilm(), 9, tokens=dict(max_length=256))
    return (First if way == "first" else Model)(*load_backbone(minilm()), 9, dict(max_length=256))

def trained(way, seed, rows, toy):
    model = made(way, seed)
    with tempfile.TemporaryDirectory() as out:
        args = training_arguments(out, 16, False, learning_rate=4e-4, seed=seed, save_strategy="no", disable_tqdm=True, **(dict(max_steps=1) if toy else {}))
        run_training(RankingTrainer(model, args, model.tokenize(rows), share_prompt="no"))
    return model.eval()

def measures(found): return {k: found[k] for k in ("accuracy", "prompt_accuracy", "log_loss")}

def one(way, seed, train, test, toy):
    start = time.perf_counter()
    model = trained(way, seed, train, toy)
    on_train, on_test = (model.score_rankings(rows, share_prompt="no") for rows in (train, test))
    penalty = length_penalty(train, on_train)
    freed = without_length(test, on_test, penalty)
    found = evaluate(test, on_test)
    return dict(way=way, seed=seed, seconds=round(time.perf_counter() - start), **measures(found), above_longer_wins=found["baselines"]["above_longer_wins"],
                length=dict(penalty=penalty, correlation=length_correlation(test, on_test), correlation_with_penalty=length_correlation(test, freed), **measures(evaluate(test, freed)),
                            difference=compare(test, freed, on_test)))

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--seeds", type=int, default=2)
    p.add_argument("--out", default="nbs/results/encoder_head.json")
    p.add_argument("--toy", action="store_true")
    a = p.parse_args()
    rows = load_rankings(Path(os.environ["MNREWARD_DATA"])/"tldr/comparisons")[:40 if a.toy else None]
    train, test = split_by_prompt(rows, 0.25, 0)
    runs = [one(way, seed, train, test, a.toy) for seed in range(1 if a.toy else a.seeds) for way in ("classifier", "last", "first")]
    longer = longer_wins(test)
    write_json(dict(what="MiniLM-L6 on OpenAI's TL;DR comparisons, batch13 and batch18: where the reward is read, and a length penalty", rows=dict(train=len(train), test=len(test)), runs=runs,
                    longer_wins=evaluate(test, longer)["accuracy"], **describe_run()), a.out)

if __name__ == "__main__": main()
