"Which lines of the modules no test reaches: chapters run against the modules, and the tests of this folder's parent"
import json, os, subprocess, sys
from pathlib import Path
import pytest

root = Path(__file__).parents[2]

@pytest.mark.campaign
def test_95_of_100_lines_of_the_modules_are_reached(tmp_path, record):
    data = tmp_path/"coverage"
    env = os.environ | {"COVERAGE_FILE": str(data)}
    def run(*words): return subprocess.run([sys.executable, "-m", *map(str, words)], cwd=root, env=env, capture_output=True, text=True)
    assert (done := subprocess.run([sys.executable, root/"nbs/_tools/cover.py", "--data", data], env=env, capture_output=True, text=True)).returncode == 0, done.stdout + done.stderr
    done = run("coverage", "run", "--parallel-mode", f"--source={root/'mnreward'}", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", "--ignore", "tests/campaigns")
    assert done.returncode == 0, done.stdout[-3000:]
    run("coverage", "combine", tmp_path)
    run("coverage", "json", "-o", tmp_path/"found.json", "--omit", "*/_modidx.py")
    found = json.loads((tmp_path/"found.json").read_text())
    files = {Path(name).stem: x["summary"]["percent_covered"] for name, x in found["files"].items()}
    total = found["totals"]
    least = min(files, key=files.get)
    record("coverage", "lines of mnreward/ that a test reaches", total["covered_lines"], total["num_statements"], f"{total['percent_covered']:.1f} %; least in {least}, {files[least]:.1f} %")
    assert total["percent_covered"] >= 95, files
