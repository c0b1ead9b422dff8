"Two processes that write one output: the second is refused in a line, and the first ends as if alone"
import json, os, subprocess, sys, time
import pytest

SLOW = """import os, sys, time
import mnreward.{module} as m
was = m.{name}
def slowly(*args, **kwargs):
    open({mark!r}, "w").close()
    while not os.path.exists({mark!r} + "-go"): time.sleep(.05)
    return was(*args, **kwargs)
m.{name} = slowly
from mnreward.cli import main
sys.exit(main({argv!r}))"""

@pytest.mark.parametrize("name", ["score", "train"])
def test_the_second_of_two_processes_is_refused_and_the_first_is_whole(name, tmp_path, mnreward, rankings, reward_model, backbone):
    out, mark = tmp_path/"out", tmp_path/"mark"
    if name == "score": argv, module, slow = ["score", rankings, "--model", reward_model, "--out", out], "scoring", "scored"
    else: argv, module, slow = ["train", rankings, "--model", backbone, "--output_dir", out, "--max_steps", 1, "--use_cpu", "--disable_tqdm", "true"], "training", "save_results"
    argv = [str(a) for a in argv]
    code = SLOW.format(module=module, name=slow, mark=str(mark), argv=argv)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}) as first:
        while not mark.exists() and first.poll() is None: time.sleep(.05)
        for more in [], ["--overwrite"], ["--resume_from_checkpoint", "True"]:
            if more and name == "score": continue
            rc, _, err = mnreward(*argv, *more)
            assert rc == 2 and err.count("mnreward:") == 1, err
            said = err.split("mnreward:")[1]
            assert f"process {first.pid}" in said or "not empty" in said and not more or "nothing to resume" in said, err
        (tmp_path/"mark-go").touch()
        assert first.wait(120) == 0, first.stderr.read()
    if name == "score": assert [json.loads(x)["id"] for x in out.read_text().splitlines()] == [r["id"] for r in json.loads(rankings.read_text())]
    else: assert json.loads((out/"metrics.json").read_text())["training"]["steps"] == 1
    assert not [x for x in tmp_path.rglob(".*")]  # no lock is left
