"Two processes take the step that one takes"
import os, subprocess, sys
from pathlib import Path
import torch

def gradient(tmp_path, name, size, *launcher, layout=()):
    out = tmp_path/name
    out.mkdir()
    r = subprocess.run([sys.executable, *launcher, Path(__file__).with_name("two_processes.py"), out, str(size), *layout],
                       capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300)
    assert r.returncode == 0, r.stderr[-3000:]
    return torch.load(out/"gradient.pt")

torchrun = "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"

def test_two_processes_give_the_gradient_of_one_with_a_ragged_end_and_unequal_weights(tmp_path):
    one = gradient(tmp_path, "one", 12)
    two = gradient(tmp_path, "two", 6, *torchrun)
    assert max(g.abs().max() for g in one) > 1e-3
    for a, b in zip(one, two): torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)

def test_two_processes_that_share_prompts_give_the_gradient_of_one_that_does_not(tmp_path):
    one = gradient(tmp_path, "one", 12, layout=["padded"])
    two = gradient(tmp_path, "two", 6, *torchrun, layout=["shared"])
    assert max(g.abs().max() for g in one) > 1e-3
    for a, b in zip(one, two): torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)

def test_two_processes_give_adapters_the_gradient_of_one(tmp_path):
    one = gradient(tmp_path, "one", 12, layout=["shared", "lora"])
    two = gradient(tmp_path, "two", 6, *torchrun, layout=["shared", "lora"])
    assert len(one) == len(two) and max(g.abs().max() for g in one) > 1e-3
    for a, b in zip(one, two): torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
