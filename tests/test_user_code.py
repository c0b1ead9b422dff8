"What a user writes runs at toy size; that it type-checks is held by pyright, where that is installed"
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

here = Path(__file__).parent


def test_user_code_runs(rankings, backbone, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(here)
    from user_code import use_everything
    found = use_everything(rankings, backbone, tmp_path/"out")
    assert 0 <= found["accuracy"] <= 1 and found["streamed"] == 4 and found["refused"] and found["losses"] == 3
    assert found["loss"] == pytest.approx(0.5845, abs=1e-4) and found["best"] > 0
    assert (tmp_path/"out/lora/adapter_model.safetensors").exists()


@pytest.mark.skipif(not importlib.util.find_spec("pyright"), reason="pyright is not installed")
def test_user_code_has_the_types_that_an_editor_shows():
    r = subprocess.run([sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, here/"user_code.py"],
                       capture_output=True, text=True, cwd=here.parent)
    assert r.stdout.startswith("{"), r.stderr
    errors = [f"{x['range']['start']['line'] + 1}: {x['message']}" for x in json.loads(r.stdout)["generalDiagnostics"] if x["severity"] == "error"]
    assert not errors, "\n".join(errors)
