"What must hold for any ranking, searched for by hypothesis: invariances, and slow references in float64"
import itertools, json, math
import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st
from mnreward.collate import DataCollator
from mnreward.evaluation import evaluate
from mnreward.files import load_rankings, write_rankings
from mnreward.judgements import comparisons_to_rankings, gather_by_prompt
from mnreward.listwise import pick_best, plackett_luce
from mnreward.loss import kwise_loss
from mnreward.rankings import check_ranking, create_comparison_dataset, wins_of
from mnreward.tokens import TokenizedRanking

few = settings(max_examples=60, deadline=None, derandomize=True, database=None)
numbers = st.floats(-50, 50, width=32)
LOSSES = {"kwise": kwise_loss, "plackett_luce": plackett_luce, "pick_best": pick_best}

@st.composite
def batches(draw, graphs=False):
    "(rewards (B, K) float64, ranks or wins)"
    B, K = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    r = torch.tensor(draw(st.lists(st.lists(numbers, min_size=K, max_size=K), min_size=B, max_size=B)), dtype=torch.float64)
    if not graphs: return r, torch.tensor(draw(st.lists(st.lists(st.integers(-1, 3), min_size=K, max_size=K), min_size=B, max_size=B)))
    w = torch.tensor(draw(st.lists(st.lists(st.integers(0, 3), min_size=K * K, max_size=K * K), min_size=B, max_size=B)), dtype=torch.float64).view(B, K, K)
    return r, w * (1 - torch.eye(K, dtype=torch.float64))

def slow(name, r, ranks):
    "The loss of one prompt, judgement by judgement"
    K, log1p = range(len(r)), lambda x: float(np.logaddexp(0, x))
    if name == "kwise":
        terms = [log1p(r[j] - r[i]) for i in K for j in K if 0 <= ranks[i] < ranks[j]]
    else:
        best = min((k for k in ranks if k >= 0), default=None)
        stages = [i for i in K if ranks[i] >= 0 and any(ranks[j] > ranks[i] for j in K) and (name == "plackett_luce" or ranks[i] == best)]
        terms = [float(np.logaddexp.reduce([r[j] for j in K if ranks[j] > ranks[i]] + [r[i]]) - r[i]) for i in stages]
    return (sum(terms) / len(terms) if terms else 0.), bool(terms)

@pytest.mark.parametrize("name", LOSSES)
@few
@given(batch=batches(), weights=st.lists(st.sampled_from([0., .5, 1., 3.]), min_size=4, max_size=4))
def test_a_loss_equals_its_definition_in_every_reduction(name, batch, weights):
    r, ranks = batch
    L, found = zip(*[slow(name, a.tolist(), b.tolist()) for a, b in zip(r, ranks)])
    omega = torch.tensor(weights[:len(r)], dtype=torch.float64)
    loss = LOSSES[name]
    torch.testing.assert_close(loss(r, ranks, "none"), torch.tensor(L, dtype=torch.float64), rtol=1e-9, atol=1e-9)
    share = omega * torch.tensor(found)
    total = float(share @ torch.tensor(L, dtype=torch.float64))
    assert math.isclose(loss(r, ranks, "sum", weight=omega).item(), total, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(loss(r, ranks, weight=omega).item(), total / float(share.sum() or 1), rel_tol=1e-9, abs_tol=1e-9)

@pytest.mark.parametrize("name", LOSSES)
@few
@given(batch=batches(), shift=numbers, data=st.data())
def test_a_loss_knows_no_shift_no_order_of_slots_and_no_batch_mates(name, batch, shift, data):
    (r, ranks), loss = batch, LOSSES[name]
    L = loss(r, ranks, "none")
    order = data.draw(st.permutations(range(r.shape[1])))
    close = dict(rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(loss(r + shift, ranks, "none"), L, **close)
    torch.testing.assert_close(loss(r[:, order], ranks[:, order], "none"), L, **close)
    torch.testing.assert_close(torch.cat([loss(a[None], b[None], "none") for a, b in zip(r, ranks)]), L, **close)
    wide = torch.cat([r, torch.full((len(r), 1), float("nan"), dtype=r.dtype)], 1)
    absent = torch.cat([ranks, -torch.ones(len(r), 1, dtype=ranks.dtype)], 1)
    torch.testing.assert_close(loss(wide, absent, "none"), L, **close)
    assert (L >= 0).all() and loss(r, ranks).isfinite()

@few
@given(batch=batches(graphs=True), factor=st.sampled_from([.25, 2., 8.]))
def test_the_kwise_loss_of_a_graph_is_a_weighted_mean_and_knows_no_scale_of_votes(batch, factor):
    r, w = batch
    want = [sum(w[b, i, j] * np.logaddexp(0, float(r[b, j] - r[b, i])) for i, j in itertools.permutations(range(r.shape[1]), 2)) / max(float(w[b].sum()), 1e-300) for b in range(len(r))]
    L = kwise_loss(r, None, "none", wins=w)
    torch.testing.assert_close(L, torch.tensor([float(x) for x in want], dtype=torch.float64), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(kwise_loss(r, None, "none", wins=w * factor), L)

@pytest.mark.parametrize("name", LOSSES)
@settings(few, max_examples=15)
@given(batch=batches())
def test_the_gradient_is_that_of_the_loss(name, batch):
    r, ranks = batch
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, ranks), (r / 10).requires_grad_())

@few
@given(sizes=st.lists(st.integers(2, 7), min_size=1, max_size=4), bound=st.integers(2, 7), side=st.sampled_from(["left", "right"]), data=st.data())
def test_a_batch_holds_every_chosen_sequence_once_and_the_weight_of_the_whole(sizes, bound, side, data):
    items = []
    for row, K in enumerate(sizes):
        lengths = data.draw(st.lists(st.integers(1, 5), min_size=K + 1, max_size=K + 1))
        texts = [np.array([100 * row + 10 * k + 1] * n, np.int32) for k, n in enumerate(lengths)]
        items.append(TokenizedRanking(texts[0], texts[1:], np.triu(np.ones((K, K), np.float32), 1), 1., row, 0, None))
    collate = DataCollator(bound, padding_side=side)
    batch, n = collate(items), 0
    for b, item in enumerate(items):
        chosen = collate.choose(item)
        assert len(chosen) == min(bound, len(item.completion_ids)) == len({*chosen.tolist()})
        assert math.isclose(batch["labels"][b].sum().item(), item.wins.sum(), rel_tol=1e-5)
        for slot, k in enumerate(chosen):
            real = batch["attention_mask"][n].bool()
            assert batch["input_ids"][n][real].tolist() == [*item.prompt_ids.tolist(), *item.completion_ids[k].tolist()]
            assert batch["slots"][n] == b * bound + slot and batch["ends"][n] == real.nonzero().max()
            n += 1
    assert n == len(batch["input_ids"])

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=8).filter(str.strip)

@st.composite
def rankings(draw):
    K = draw(st.integers(2, 4))
    row = dict(prompt=draw(names), ranked_outputs=draw(st.lists(names, min_size=K, max_size=K)))
    kind = draw(st.sampled_from(["order", "ranks", "comparisons"]))
    if kind == "ranks": row["ranks"] = draw(st.lists(st.integers(0, 5), min_size=K, max_size=K))
    if kind == "comparisons": row["comparisons"] = [[i, j, w] for i, j, w in draw(st.lists(st.tuples(st.integers(0, K - 1), st.integers(0, K - 1), st.integers(1, 3)), max_size=5)) if i != j]
    if draw(st.booleans()): row["weight"] = draw(st.sampled_from([0, .5, 2]))
    if draw(st.booleans()): row["id"] = draw(names)
    return row

@few
@given(rows=st.lists(rankings(), min_size=1, max_size=4))
def test_rankings_are_checked_once_and_for_all_and_survive_a_file(rows, tmp_path_factory):
    checked = [check_ranking(r) for r in rows]
    assert checked == [check_ranking(r) for r in checked]
    if not any(wins_of(r).any() for r in checked): return
    path = tmp_path_factory.mktemp("file")/"r.json"
    for name in "r.json", "r.jsonl":
        write_rankings(checked, path.with_name(name))
        again = load_rankings(path.with_name(name))
        assert [{k: v for k, v in r.items()} for r in again] == checked

@few
@given(row=rankings(), data=st.data())
def test_wins_follow_the_completions_wherever_they_stand(row, data):
    w, K = wins_of(row), len(row["ranked_outputs"])
    order = data.draw(st.permutations(range(K)))
    moved = dict(row, ranked_outputs=[row["ranked_outputs"][k] for k in order])
    if "comparisons" in row: moved["comparisons"] = [[order.index(i), order.index(j), n] for i, j, n in row["comparisons"]]
    else: moved["ranks"] = [row.get("ranks", [*range(K)])[k] for k in order]
    assert (wins_of(moved) == w[np.ix_(order, order)]).all()
    for cleaned in create_comparison_dataset([row], min_words=1):
        texts = cleaned["ranked_outputs"]
        assert len({x.strip() for x in texts}) == len(texts) and {x.strip() for x in texts} <= {x.strip() for x in row["ranked_outputs"]}

@few
@given(votes=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=9), data=st.data())
def test_judgements_of_a_post_add_up_in_any_order(votes, data):
    texts = ["the cat", "a dog", "one bird"]
    rows = [dict(info=dict(post=f"post {p}"), summaries=[dict(text=texts[i]), dict(text=texts[j])], choice=c, worker="w") for p, i, j, c in votes]
    def wins(rows):
        return {(r["prompt"], r["ranked_outputs"][i], r["ranked_outputs"][j]): float(wins_of(r)[i, j]) for r in comparisons_to_rankings(rows)
                for i in range(len(r["ranked_outputs"])) for j in range(len(r["ranked_outputs"])) if wins_of(r)[i, j]}
    found = wins(rows)
    assert found == wins(data.draw(st.permutations(rows)))
    assert sum(found.values()) == sum(i != j for _, i, j, _ in votes)
    pairs = [check_ranking(dict(prompt=f"post {p}", ranked_outputs=[texts[(i, j)[c]], texts[(i, j)[1 - c]]])) for p, i, j, c in votes if i != j]
    gathered = {(r["prompt"], a, b): float(wins_of(r)[i, j]) for r in gather_by_prompt(pairs) for i, a in enumerate(r["ranked_outputs"]) for j, b in enumerate(r["ranked_outputs"]) if wins_of(r)[i, j]}
    assert gathered == {(p.split("\n\nPOST: ")[1].removesuffix("\n\nTL;DR:"), a, b): n for (p, a, b), n in found.items()}

@settings(few, max_examples=30)
@given(rows=st.lists(rankings(), min_size=1, max_size=5), data=st.data())
def test_measures_know_no_order_of_rankings_no_copies_and_no_monotone_map(rows, data):
    rows = [check_ranking(r) for r in rows]
    if not any(wins_of(r).any() and r.get("weight", 1) for r in rows): return
    rewards = [data.draw(st.lists(st.integers(-4, 4), min_size=len(r["ranked_outputs"]), max_size=len(r["ranked_outputs"]))) for r in rows]
    def measures(rows, rewards):
        out = evaluate(rows, [[float(x) for x in r] for r in rewards], n_boot=0)
        return {k: out[k]["value"] for k in ("accuracy", "prompt_accuracy", "log_loss", "best_of_k", "kendall_tau")} | dict(ece=out["calibration"]["ece"])
    found, order = measures(rows, rewards), data.draw(st.permutations(range(len(rows))))
    def same(other, but=()):
        for k in found:
            if k not in but: assert (found[k] is None) == (other[k] is None) and (found[k] is None or math.isclose(found[k], other[k], rel_tol=1e-9, abs_tol=1e-9)), (k, found, other)
    same(measures([rows[k] for k in order], [rewards[k] for k in order]))
    same(measures(rows * 2, rewards * 2))
    same(measures(rows, [[x + 7 for x in r] for r in rewards]))
    same(measures(rows, [[3 * x for x in r] for r in rewards]), ("log_loss", "ece"))
    turned = measures(rows, [[-x for x in r] for r in rewards])
    assert math.isclose(turned["accuracy"], 1 - found["accuracy"], abs_tol=1e-9) and math.isclose(turned["prompt_accuracy"], 1 - found["prompt_accuracy"], abs_tol=1e-9)
    if found["kendall_tau"] is not None: assert math.isclose(turned["kendall_tau"], -found["kendall_tau"], abs_tol=1e-9)
    json.dumps(found, allow_nan=False)
