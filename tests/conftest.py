"Shared pieces: a tiny saved reward model, rankings on disk, the command line in this process"
import contextlib, io, json, os, subprocess, sys
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run tests marked slow")

def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"): return
    for item in items:
        if "slow" in item.keywords: item.add_marker(pytest.mark.skip(reason="slow: minutes; run with --slow"))

def pytest_terminal_summary(terminalreporter):
    "What tests measured beside passing"
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", []):
                if name == "figures" and report.when == "call": terminalreporter.write_line(value)

@pytest.fixture
def mnreward():
    "Run a command in this process: (exit status, standard output, standard error)"
    from mnreward.cli import main
    def run(*argv):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try: rc = main([str(a) for a in argv])
            except SystemExit as e: rc = e.code
        return rc or 0, out.getvalue(), err.getvalue()
    return run

@pytest.fixture(scope="session")
def two_processes():
    "Run a script or command under torchrun, both processes on this machine's CPU: standard output; fails with what the processes said"
    def run(*argv):
        # --local_addr: else each process looks for the machine by its full name, which not every machine can resolve
        launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "--local_addr", "localhost"]
        done = subprocess.run([sys.executable, *launch, *map(str, argv)], capture_output=True, text=True, timeout=300,
                              env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""})
        assert done.returncode == 0, done.stdout + done.stderr[-6000:]
        return done.stdout
    return run

@pytest.fixture(scope="session")
def rows():
    from mnreward.synthetic import generate_rankings
    return generate_rankings(40, k=(2, 5), seed=5)

@pytest.fixture
def rankings(rows, tmp_path):
    "A file of rankings in the project's JSON"
    path = tmp_path/"rankings.json"
    path.write_text(json.dumps(rows))
    return path

@pytest.fixture(scope="session")
def backbone(rows, tmp_path_factory):
    "A folder with an untrained T5 encoder and its tokenizer, as a Hub repository has them"
    from mnreward.synthetic import small_t5
    path = tmp_path_factory.mktemp("backbone")
    for part in small_t5([r["prompt"]+o for r in rows for o in r["ranked_outputs"]]): part.save_pretrained(path)
    return path

@pytest.fixture(scope="session")
def reward_model(rows, tmp_path_factory):
    "A folder with a saved reward model"
    from mnreward.model import Model
    from mnreward.synthetic import small_t5
    path = tmp_path_factory.mktemp("reward-model")
    Model(*small_t5([r["prompt"]+o for r in rows for o in r["ranked_outputs"]]), 4).save_pretrained(path)
    return path

@pytest.fixture(scope="session")
def decoder(tmp_path_factory):
    "A folder with an untrained Llama and a byte-pair tokenizer of English, as a Hub repository has them"
    import torch, transformers
    from tokenizers import ByteLevelBPETokenizer
    from mnreward.synthetic import load_reading
    t = ByteLevelBPETokenizer()
    t.train_from_iterator([x for r in load_reading() for x in (r["prompt"], *r["ranked_outputs"])], vocab_size=3000, special_tokens=["<end>"], show_progress=False)
    path = tmp_path_factory.mktemp("decoder")
    transformers.PreTrainedTokenizerFast(tokenizer_object=t._tokenizer, eos_token="<end>").save_pretrained(path)
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=3000, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=4096)).save_pretrained(path)
    return path
