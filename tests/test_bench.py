"`mnreward bench` at toy size: all ways, bad values, and no half-written file; and its comparison with TRL, by a script, where that is installed"
import importlib.util, itertools, json, sys
from pathlib import Path
import pytest

root = Path(__file__).parents[1]
tools = root/"nbs/_tools"
toy = "--preset", "toy", "--prompt", "24", "--completion", "8", "--repeats", "2"
has_trl = importlib.util.find_spec("trl") is not None

@pytest.fixture
def bench(mnreward):
    "(exit status, standard output, standard error) of `mnreward bench`"
    def run(*argv):
        rc, out, err = mnreward("bench", *argv)
        return rc, out, err.rstrip()
    return run

def test_the_toy_runs_all_ways_and_stores_what_it_found(tmp_path, bench):
    from mnreward.bench import step_tokens, ways
    out = tmp_path/"r.json"
    rc, text, err = bench("--out", out, "--ks", "2,3,4", "--no_trl", *toy)
    assert rc == 0, err
    found = json.loads(out.read_text())
    assert [(r["K"], r["way"]) for r in found["rows"]] == [*itertools.product((2, 3, 4), ways)]
    for r in found["rows"]:
        assert r["tokens"] == step_tokens(24, [8]*r["K"])[r["way"]] <= r["cells"]
        assert len(r["seconds"]) == 2 and min(r["seconds"]) > 0 and r["saved_mb"] > 0
    assert found["settings"]["preset"] == "toy" and found["settings"]["seed"] == 0 and found["trl"] == []
    assert found["threads"] >= 1 and found["device"] and {"python", "torch", "transformers", "mnreward"} <= found["versions"].keys()
    assert set(found["collate_ms"]) == {"padded", "shared"}
    assert [(c["way"], c["checkpointing"]) for c in found["checkpointing"]] == [*itertools.product(
        ("completions", "shared"), (False, True))]
    assert all(0 < x["attention"] < x["all"] for x in found["shares"].values()) and found["weights"] > 0
    assert out.stat().st_size < 40_000 and [p.name for p in tmp_path.iterdir()] == ["r.json"]
    assert "completions_512" in text and "K=4: pairs / shared" in text and "T5 encoder, ragged lengths: padded_512 / packed" in text

def test_stored_ratios_are_those_of_single_repeats(tmp_path, bench):
    rc, _, err = bench("--out", tmp_path/"r.json", "--ks", "3", "--no_trl", *toy)
    found = json.loads((tmp_path/"r.json").read_text())
    seconds = {r["way"]: r["seconds"] for r in found["rows"]}
    for r in found["ratios"]:
        each = [a/b for a, b in zip(seconds[r["way"]], seconds[r["against"]])]
        assert r["low"] == pytest.approx(min(each), abs=.01) and r["high"] == pytest.approx(max(each), abs=.01)
        assert r["low"] <= r["median"] <= r["high"]

@pytest.mark.parametrize("argv, message", [
    (["--ks", "2,x"], "2,4,9"), (["--ks", "1,2"], "at least 2"), (["--repeats", "0"], "at least 1"), (["--preset", "huge"], "toy, cpu, gpu"),
    (["--prompt", "500", "--completion", "40"], "512"), (["--completion", "1"], "2 tokens"), (["--peak_tflops", "0"], "above 0"),
    (["--peak_tflops", "many"], "peak_tflops")])
def test_bad_values_are_one_line_and_nothing_is_written(tmp_path, bench, argv, message):
    rc, _, err = bench("--out", tmp_path/"r.json", "--no_trl", *argv)
    assert rc == 2 and message in err and "\n" not in err.split(" (see")[0]
    assert not [*tmp_path.iterdir()]

def test_an_existing_file_and_a_missing_folder_are_refused_at_once(tmp_path, bench):
    (tmp_path/"r.json").write_text("mine")
    rc, _, err = bench("--out", tmp_path/"r.json", "--no_trl", *toy)
    assert rc == 2 and "exists" in err and (tmp_path/"r.json").read_text() == "mine"
    rc, _, err = bench("--out", tmp_path/"no"/"r.json", "--no_trl", *toy)
    assert rc == 2 and "no folder" in err

def test_the_gpu_preset_needs_a_gpu(tmp_path, bench, monkeypatch):
    import torch
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rc, _, err = bench("--out", tmp_path/"r.json", "--no_trl", "--preset", "gpu")
    assert rc == 2 and "CUDA" in err

@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_breaks_off_leaves_no_file(tmp_path, bench, monkeypatch, kind):
    import mnreward.bench as b
    def stop(*args): raise kind
    monkeypatch.setattr(b, "collate_ms", stop)
    argv = "--out", tmp_path/"r.json", "--ks", "2", *toy
    if kind is KeyboardInterrupt: assert bench(*argv)[0] == 130
    else:
        with pytest.raises(kind): bench(*argv)
    assert not [*tmp_path.iterdir()]

def test_the_command_needs_no_trl_and_compares_with_none(tmp_path, bench, monkeypatch):
    "With --no_trl or without, trl installed or not"
    monkeypatch.setitem(sys.modules, "trl", None)
    rc, text, err = bench("--out", tmp_path/"r.json", "--ks", "2", *toy)
    assert rc == 0 and "TRL" not in text and json.loads((tmp_path/"r.json").read_text())["trl"] == [], err

@pytest.fixture
def trl_epochs(monkeypatch):
    monkeypatch.syspath_prepend(tools)
    import trl_epochs
    return trl_epochs

@pytest.fixture
def results(tmp_path, bench):
    "A stored run at toy size"
    rc, _, err = bench("--out", tmp_path/"r.json", "--ks", "4", "--no_trl", *toy)
    assert rc == 0, err
    return tmp_path/"r.json"

def test_without_trl_the_message_names_the_extra_and_comes_first(results, trl_epochs, monkeypatch, capsys):
    before = results.read_text()
    monkeypatch.setitem(sys.modules, "trl", None)
    monkeypatch.setattr(trl_epochs, "bench_model", lambda *a: pytest.fail("a model was made before it was refused"))
    assert trl_epochs.main([str(results)]) == 2
    err = capsys.readouterr().err
    assert "pip install 'mnreward[trl]'" in err and err.count("\n") == 1 and results.read_text() == before

@pytest.mark.skipif(not has_trl, reason="trl is not installed: pip install 'mnreward[trl]'")
@pytest.mark.parametrize("text, message", [
    (None, "cannot be read"), ("{", "not JSON"), ("[]", "no result of"), ('{"settings": {}}', "no result of"),
    ('{"settings": {"preset": "toy"}, "device": "an abacus"}', "an abacus")])
def test_a_file_that_is_no_run_of_this_machine_is_refused_in_one_line(tmp_path, trl_epochs, capsys, text, message):
    if text is not None: (tmp_path/"r.json").write_text(text)
    assert trl_epochs.main([str(tmp_path/"r.json")]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1

@pytest.mark.skipif(not has_trl, reason="trl is not installed: pip install 'mnreward[trl]'")
def test_trl_runs_on_the_pairs_of_the_same_prompts(results, trl_epochs, capsys):
    before = json.loads(results.read_text())
    capsys.readouterr()
    assert not trl_epochs.main([str(results)])
    text, after = capsys.readouterr().out, json.loads(results.read_text())
    found = after["trl"]
    assert [x["K"] for x in found] == [4] and found[0]["pairs"] == 6*found[0]["prompts"]
    assert len(found[0]["trl"]) == len(found[0]["mnreward"]) == 2 and "K=4: TRL's epoch" in text
    assert after | dict(trl=[]) == before and after["versions"]["trl"] and [p.name for p in results.parent.iterdir()] == ["r.json"]
    assert "train_runtime" not in text and "loss" not in text  # no log of a trainer between ours

def test_the_stored_comparison_has_the_fields_that_the_script_writes(trl_epochs):
    stored = json.loads((root/"nbs/results/cost_of_k.json").read_text())
    fields = trl_epochs.BenchSettings.__dataclass_fields__.keys()
    assert fields - stored["settings"].keys() == set() and stored["versions"]["trl"]
    for x in stored["trl"]:
        assert x.keys() == set("K prompts steps pairs trl mnreward theory median low high".split())
        assert x["prompts"] == 2*stored["settings"]["prompts"] and x["pairs"] == x["prompts"]*x["K"]*(x["K"]-1)//2

@pytest.mark.skipif(not has_trl, reason="trl is not installed: pip install 'mnreward[trl]'")
def test_trl_and_we_report_one_loss_for_one_epoch(trl_epochs):
    "With a learning rate of 0 both see the same rankings with the same weights"
    from mnreward.bench import bench_items, bench_model
    model, items = bench_model("toy"), bench_items(4, 3, 20, 6)
    a = trl_epochs.epoch_metrics(trl_epochs.trl_trainer, trl_epochs.trl_model(model), items, 2, 2048, learning_rate=0.0)
    b = trl_epochs.epoch_metrics(trl_epochs.sharing_trainer, model, items, 2, 2048, learning_rate=0.0)
    assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)

@pytest.mark.skipif(not has_trl, reason="trl is not installed: pip install 'mnreward[trl]'")
def test_trl_and_we_make_as_many_steps_and_end_with_one_update(trl_epochs):
    "From the same weights, one step of both trainers moves the head the same way"
    import torch
    from mnreward.bench import bench_items, bench_model
    model, items = bench_model("toy"), bench_items(2, 3, 20, 6)
    other, start = trl_epochs.trl_model(model), model.head.weight.detach().clone()
    a = trl_epochs.epoch_metrics(trl_epochs.trl_trainer, other, items, 2, 10**6, learning_rate=1e-3)
    b = trl_epochs.epoch_metrics(trl_epochs.sharing_trainer, model, items, 2, 10**6, learning_rate=1e-3)
    assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)
    moved, theirs = model.head.weight.detach()-start, other.score.weight.detach()-start
    assert torch.nn.functional.cosine_similarity(moved, theirs).item() > .99

def test_the_same_seed_gives_the_same_rankings_and_weights():
    import torch
    from mnreward.bench import bench_backbone, bench_items
    a, b, c = (bench_items(2, 3, 20, 6, seed=s, spread=.3) for s in (1, 1, 2))
    assert all((x.prompt_ids == y.prompt_ids).all() for x, y in zip(a, b, strict=True))
    assert len(a[0].prompt_ids) != len(c[0].prompt_ids) or (a[0].prompt_ids != c[0].prompt_ids).any()
    assert torch.equal(*(next(bench_backbone("toy", s).parameters()) for s in (1, 1)))

def test_peaks_are_matched_by_the_name_that_torch_gives():
    from mnreward.bench import peak_of
    assert peak_of("NVIDIA H100 80GB HBM3") == peak_of("NVIDIA H200") == 989
    assert (peak_of("NVIDIA A100-SXM4-80GB"), peak_of("NVIDIA L4"), peak_of("NVIDIA H100 PCIe")) == (312, 121, 756)
    assert peak_of("NVIDIA H100 NVL") is peak_of("NVIDIA L40") is peak_of("AMD EPYC") is None

def test_autocast_ends_with_the_forward_pass(monkeypatch):
    "backward, and whatever comes after a step, runs outside of it"
    import contextlib
    import mnreward.bench as b
    depth = []
    @contextlib.contextmanager
    def inside(model):
        depth.append(1)
        yield
        depth.pop()
    monkeypatch.setattr(b, "bench_precision", inside)
    model, items = b.bench_model("toy"), b.bench_items(2, 3, 20, 6)
    for loss in b.micro_losses(model, b.ways["pairs"](model, items, 1)): assert not depth
    b.saved_bytes(model, b.ways["shared"](model, items, 1))
    assert not depth
