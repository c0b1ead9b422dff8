"Two processes train what one trains: DDP, FSDP2, ZeRO-2 and ZeRO-3, each in its own way of holding the weights"
import importlib.util, json, os, re, signal, subprocess, sys
from pathlib import Path
import pytest, torch
from safetensors.torch import load_file

script = Path(__file__).with_name("engines.py")
RUNS = dict(
    sharding=[["DDP", "plain", {}], ["FSDP2", "fsdp2", {}], ["FSDP2 with sharded checkpoints", "fsdp2", dict(fsdp_config=dict(state_dict_type="SHARDED_STATE_DICT"))], ["FSDP2 in bfloat16", "fsdp2", dict(bf16=True)],
              ["version 1", "fsdp2", dict(fsdp_config=dict(version=1))], ["loading by one", "fsdp2", dict(fsdp_config=dict(cpu_ram_efficient_loading=True))], ["merging", "fsdp2", dict(lora_rank=2, merge_lora=True)]],
    deepspeed=[["ZeRO-2", "zero2", {}], ["ZeRO-3", "zero3", {}], ["ZeRO-3 in bfloat16", "zero3", dict(deepspeed=dict(torch_autocast=dict(enabled=True, dtype="bfloat16")))],
               ["rounding", "zero3", dict(bf16=True, deepspeed=dict(bf16=dict(enabled="auto")))]])
kinds = [pytest.param(x, marks=pytest.mark.skipif(x == "deepspeed" and not importlib.util.find_spec("deepspeed"), reason="deepspeed is not installed")) for x in RUNS]

@pytest.fixture(scope="module")
def runs(tmp_path_factory, decoder, rows, two_processes):
    "By kind: what the jobs of one launch said, and the folder of their results; a plain job of one process under `alone`"
    where, made = tmp_path_factory.mktemp("engines"), {}
    (where/"rankings.json").write_text(json.dumps(rows))
    def jobs(kind, list_of_jobs):
        (where/f"{kind}.json").write_text(json.dumps(list_of_jobs))
        return [script, where, decoder, where/"rankings.json", where/f"{kind}.json"]
    subprocess.run([sys.executable, *jobs("alone", [["alone", "plain", {}]])], check=True, capture_output=True, timeout=300)
    def run(kind):
        if kind not in made: made[kind] = json.loads(two_processes(*jobs(kind, RUNS[kind])).splitlines()[-1])
        return made[kind], where
    return run

def results(out):
    "Weights, evaluation and log"
    metrics = json.loads((out/"metrics.json").read_text())
    return load_file(out/"model.safetensors"), metrics["evaluation"], json.loads((out/"checkpoint-4/trainer_state.json").read_text())["log_history"]

def logged(log, name): return [x[name] for x in log if name in x]

@pytest.mark.parametrize("kind", kinds)
def test_two_processes_have_the_losses_metrics_and_saved_model_of_one(kind, runs):
    _, where = runs(kind)
    weights, evaluation, log = results(where/"alone")
    for name in [x for x, _, options in RUNS[kind] if not options or "sharded" in x]:
        weights2, evaluation2, log2 = results(where/name)
        assert weights.keys() == weights2.keys()
        for k, w in weights.items(): torch.testing.assert_close(weights2[k], w, atol=5e-4, rtol=1e-3, msg=f"{name}: {k}")  # Adam divides by what is nearly 0
        assert evaluation2["log_loss"]["value"] == pytest.approx(evaluation["log_loss"]["value"], abs=1e-6) and evaluation2["accuracy"] == evaluation["accuracy"]
        for what in "loss", "eval_log_loss", "grad_norm":
            assert len(logged(log, what)) > 1 and logged(log2, what) == pytest.approx(logged(log, what), abs=2e-5), (name, what)
        assert (where/name/"checkpoint-4/model.safetensors").exists() != ("sharded" in name)  # what is saved at the end is whole in any case
        assert (where/name/"README.md").exists() and not (where/name/"training_args.bin").exists()

@pytest.mark.parametrize("kind", kinds)
def test_the_head_stays_in_float32_where_the_rest_computes_in_bfloat16(kind, runs):
    said, where = runs(kind)
    log = results(where/"alone")[2]
    name, = [x for x in said if x.endswith("in bfloat16")]
    assert {head for _, head in said[name]} == {"torch.float32"}, said
    if kind == "sharding": assert ["torch.bfloat16", "torch.float32"] in said[name]
    losses = logged(results(where/name)[2], "loss")
    assert losses == pytest.approx(logged(log, "loss"), abs=0.02) and losses != logged(log, "loss")  # it did compute in bfloat16

@pytest.mark.parametrize("kind", kinds)
def test_settings_that_would_round_or_lose_weights_are_refused_before_the_first_step(kind, runs):
    said, where = runs(kind)
    for name, text in dict(sharding={"version 1": "set fsdp_version 2", "loading by one": "set it to false", "merging": "merge_adapters"}, deepspeed=dict(rounding="use torch_autocast"))[kind].items():
        assert text in said[name] and not (where/name/"model.safetensors").exists(), (name, said[name])

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_to_torchrun_keeps_a_checkpoint_and_resuming_goes_on(number, decoder, rankings, tmp_path):
    "Ctrl-C reaches all of a terminal's processes, and torchrun hands it on once more"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "--local_addr", "localhost", Path(__file__).with_name("score_in_processes.py"), "train", rankings,
               "--model", decoder, "--output_dir", tmp_path/"out", "--eval_strategy", "no", "--prompts_per_step", 8, "--logging_steps", 1, "--disable_tqdm", "True", "--use_cpu", "--seed", 1, "--max_steps"]
    command = [*map(str, command)]
    run = subprocess.Popen([*command, "5000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=os.environ | {"PYTHONUNBUFFERED": "1", "CUDA_VISIBLE_DEVICES": ""})
    for line in run.stdout:
        if "loss" in line: break
    if number == signal.SIGINT: os.killpg(run.pid, number)
    else: run.send_signal(number)
    _, err = run.communicate(timeout=120)
    step = int(re.search(r"stopped after step (\d+)", err)[1])
    assert "--resume_from_checkpoint" in err and (tmp_path/f"out/checkpoint-{step}/trainer_state.json").exists(), err
    if number == signal.SIGTERM: return
    done = subprocess.run([*command, str(step+3), "--resume_from_checkpoint", "True"], capture_output=True, text=True, timeout=300, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path/"out/metrics.json").read_text())["training"]["steps"] == step+3

@pytest.mark.parametrize("name", ["ddp", "fsdp2", "zero3"])
def test_the_settings_that_the_chapter_names_are_those_of_accelerate(name):
    from accelerate.commands.config.config_args import load_config_from_file
    folder = Path(__file__).parents[1]/"nbs/engines"
    config = load_config_from_file(str(folder/f"{name}.yaml"))  # refuses what it does not know
    assert config.num_processes == 2
    if name == "fsdp2": assert config.fsdp_config["fsdp_version"] == 2 and not config.fsdp_config["fsdp_cpu_ram_efficient_loading"]
    if name == "zero3": assert json.loads((folder/config.deepspeed_config["deepspeed_config_file"]).read_text())["torch_autocast"]["enabled"] and config.mixed_precision == "no"
