"The interactive figures compute what the package computes"
import json, shutil, subprocess
from pathlib import Path
import numpy as np, pytest, torch

SCRIPT = Path(__file__).parents[1]/"nbs/figures/play.js"
pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="no node to run the page's script")
REWARDS = [[2, 0, 1], [0, 0], [1.5, .2, .8, -1, -.4], [30, -30, 4], [-1, -1, -1, -1]]

def of_page(expression, value):
    code = f"const p = require({json.dumps(str(SCRIPT))}), x = {json.dumps(value)}; console.log(JSON.stringify({expression}))"
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

def of_package(loss, prompts, **more):
    "Value and gradient on the first prompt of a batch of rankings, best first"
    K = max(map(len, prompts))
    r = torch.tensor([[*p, *[0.] * (K - len(p))] for p in prompts], dtype=torch.float64, requires_grad=True)
    ranks = torch.tensor([[*range(len(p)), *[-1] * (K - len(p))] for p in prompts])
    value = loss(r, ranks, **more)
    value.backward()
    return value.item(), r.grad[0, :len(prompts[0])].tolist()

@pytest.mark.parametrize("rewards", REWARDS)
def test_losses_and_gradients_equal_those_of_the_package(rewards):
    from mnreward import LOSSES, kwise_loss
    batch = [rewards, [0., 0.]]
    for name, (value, grad) in {
        "p.kwise(x)": of_package(kwise_loss, [rewards]), "p.plackettLuce(x)": of_package(LOSSES["plackett_luce"], [rewards]),
        "p.perPrompt([x, [0, 0]])": of_package(kwise_loss, batch), "p.perPair([x, [0, 0]])": of_package(kwise_loss, batch, reduction="pair_mean"),
    }.items():
        found = of_page(name, rewards)
        assert found["loss"] == pytest.approx(value, abs=1e-12), name
        assert found["grad"] == pytest.approx(grad, abs=1e-12), name

@pytest.mark.parametrize("prompt, lengths", [(3, [2, 1]), (5, [1]), (4, [3, 2, 2])])
def test_the_mask_is_that_of_a_shared_row(prompt, lengths):
    from mnreward.sharing import visible
    segments = torch.tensor([[[1, 0]] * prompt + [[1, k + 1] for k, n in enumerate(lengths) for _ in range(n)]])
    seen = visible(segments, segments, causal=True)[0]
    T = prompt + sum(lengths)
    assert of_page(f"Array.from({{length: {T}}}, (_, i) => Array.from({{length: {T}}}, (_, j) => p.sees(i, j, x[0], x[1])))", [prompt, lengths]) == seen.tolist()

@pytest.mark.parametrize("K", [2, 4, 9])
def test_tokens_are_those_that_the_bench_counts(K):
    from mnreward.bench import step_tokens
    lengths = [*range(40, 40 + K)]
    found, theirs = of_page("p.tokenCounts(x[0], x[1])", [350, lengths]), step_tokens(350, lengths)
    assert found == dict(shared=theirs["shared"], rows=theirs["completions"], pairs=theirs["pairs"])

def test_accuracy_and_calibration_equal_those_of_evaluate():
    from mnreward import evaluate
    from mnreward.evaluation import calibration_error, mass_bins
    rewards = of_page("p.simulate(4, 150, 1, 7)", None)
    found = of_page("p.measure(x)", rewards)
    rows = [dict(prompt=f"p{b}", ranked_outputs=[f"a{k}" for k in range(4)]) for b in range(len(rewards))]
    theirs = evaluate(rows, rewards, n_boot=2000, seed=0)["accuracy"]
    assert found["accuracy"] == pytest.approx(theirs["value"], abs=1e-12)
    assert 2 * 1.96 * found["error"] == pytest.approx(theirs["high"] - theirs["low"], rel=.1)
    d = np.array([r[i] - r[j] for r in rewards for i in range(4) for j in range(i + 1, 4)])
    p, one = 1 / (1 + np.exp(-abs(d))), np.ones(len(d))
    assert found["ece"] == pytest.approx(calibration_error(p, d > 0, one, mass_bins(p, one))[0], abs=1e-12)

def test_the_same_seed_draws_the_same_prompts():
    a, b, c = (of_page(f"p.simulate(3, 5, 1, {seed})", None) for seed in (1, 1, 2))
    assert a == b != c and all(len(r) == 3 for r in a)
