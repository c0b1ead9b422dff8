"A disk that is full, by a limit on the size of a file: one line and exit status 2, and with room again the documented way back leads to the same bytes"
import json, resource, shutil
import pytest
from sizes import sizes
from test_kills import files_of, go_on, words_of

def limited(most):
    "No file of this process may be larger"
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

@pytest.mark.parametrize("name", ["score", "rankings", "evaluate", "train", "train --lora_rank"])
@sizes(1, 14)
def test_a_full_disk_is_one_line_and_costs_nothing_that_was_done(name, size, forked, tmp_path, rows, reward_model, backbone, record):
    if name == "train --lora_rank" and size == 1: pytest.skip("half a minute: in the campaign alone")
    data, out = tmp_path/"data/rows.json", tmp_path/"out"
    data.parent.mkdir(), out.mkdir()
    data.write_text(json.dumps(rows[:24]))
    words, again = words_of(name, tmp_path, data, reward_model, backbone)
    whole = forked(*words, seconds=300)
    assert whole.status == 0, whole.text[-3000:]
    want = files_of(out)
    largest = max(x.stat().st_size for x in out.rglob("*") if x.is_file())
    limits, faults = [int(largest * (i + .5) / size) for i in range(size)], []
    for most in limits:
        shutil.rmtree(out), out.mkdir()
        first = forked(*words, before=limited(most), seconds=300)
        lines = [x for x in first.text.splitlines() if x.startswith("mnreward:")]
        if first.status != 2 or len(lines) != 1 or "Traceback" in first.text:
            faults.append((most, first.status, first.text[-600:]))
            continue
        done = go_on(forked, words, again)
        found = files_of(out) if done.status == 0 else {}
        if {k: v for k, v in found.items()} != want: faults.append((most, "then", done.status, done.text[-500:], [k for k in want if found.get(k) != want[k]]))
    record(f"full disk: {name}", "one line, and the way back to the same bytes", len(limits) - len(faults), len(limits), f"a limit of up to {largest:,} bytes on a file")
    assert not faults, "\n".join(map(str, faults[:5])) + f"\n{len(faults)} of {len(limits)}"
