"Two processes take the step that one takes"
import subprocess, sys
from pathlib import Path
import pytest, torch

@pytest.fixture
def gradients(tmp_path, two_processes):
    "Of one process that holds all 12 prompts and of two that share them, each with its options"
    script = Path(__file__).with_name("two_processes.py")
    def run(one=(), two=()):
        for name in "one", "two": (tmp_path/name).mkdir()
        subprocess.run([sys.executable, script, tmp_path/"one", "12", *one], check=True, timeout=300)
        two_processes(script, tmp_path/"two", "6", *two)
        return [torch.load(tmp_path/name/"gradient.pt") for name in ("one", "two")]
    return run

def are_equal(one, two):
    assert len(one) == len(two) and max(g.abs().max() for g in one) > 1e-3
    for a, b in zip(one, two): torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)

def test_two_processes_give_the_gradient_of_one_with_a_ragged_end_and_unequal_weights(gradients): are_equal(*gradients())

def test_two_processes_that_share_prompts_give_the_gradient_of_one_that_does_not(gradients): are_equal(*gradients(["padded"], ["shared"]))

def test_two_processes_give_adapters_the_gradient_of_one(gradients): are_equal(*gradients(["shared", "lora"], ["shared", "lora"]))
