"SIGKILL at every file operation of a command: the documented way back leads to the same bytes, and nothing else was touched"
import json, os, random, shutil, signal, sys
from pathlib import Path
import pytest
from sizes import sizes

EVENTS = "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link"

def killed_at(n, folder, half=False):
    "A hook that kills this process at its n-th operation on files in a folder; half: the last file that was opened is cut in two first"
    count, last = 0, None
    def hook(event, args):
        nonlocal count, last
        if event not in EVENTS or not args or not str(args[0]).startswith(str(folder)): return
        if event == "open" and not (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT): return
        count += 1
        if count == n:
            if half and last and Path(last).is_file(): os.truncate(last, os.path.getsize(last) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        if event == "open": last = args[0]
    return lambda: sys.addaudithook(hook)

def counted(folder, into):
    "A hook that counts these operations in a file"
    fd = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    def hook(event, args):
        if event not in EVENTS or not args or not str(args[0]).startswith(str(folder)): return
        if event == "open" and not (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT): return
        os.write(fd, b".")
    return lambda: sys.addaudithook(hook)

def files_of(folder):
    "Bytes of what a command is for: no log, no clock, no temporary name"
    found = {}
    for x in sorted(folder.rglob("*")):
        name = str(x.relative_to(folder))
        if not x.is_file() or x.suffix == ".partial" or x.name.startswith(".") or "checkpoint-" in name or x.suffix == ".png" or name.startswith("runs"): continue
        data = x.read_bytes()
        if x.suffix == ".jsonl": data = with_rounded_rewards(data)
        if x.suffix == ".json" and b"seconds" in data or x.name in ("README.md", "report.md", "training_args.bin"): data = without_clock(x)
        found[name] = data
    return found

def with_rounded_rewards(data):
    "Rows that were scored in other batches differ in a reward's last digits"
    rows = [json.loads(x) for x in data.splitlines()]
    return json.dumps([r | {"rewards": [round(x, 3) + 0.0 for x in r["rewards"]]} if "rewards" in r else r for r in rows]).encode()

def without_clock(path):
    if path.suffix != ".json": return b""
    def strip(x):
        if isinstance(x, dict): return {k: strip(v) for k, v in x.items() if "second" not in k and k not in ("hours", "how")}
        return [*map(strip, x)] if isinstance(x, list) else x
    return json.dumps(strip(json.loads(path.read_text())), sort_keys=True).encode()

def words_of(name, where, data, model, backbone):
    "A command that writes into a folder, and the one that goes on after a kill"
    out = where/"out"
    if name == "score": return (same := ["score", data, "--model", model, "--out", out/"s.jsonl", "--batch_size", 2]), same
    if name == "rankings": return (same := ["rankings", data, "--out", out/"r.json"]), same
    if name == "evaluate": return (same := ["evaluate", data, "--model", model, "--output_dir", out/"e"]), same
    if name == "save":
        def save():
            from mnreward import Model
            Model.from_pretrained(model).save_pretrained(out/"s")
        return (same := [save]), same
    if name == "tldr": return (same := ["tldr", "--preset", "tiny", "--posts", data.parent/"posts.jsonl", "--comparisons", data, "--limit", 24, "--output_dir", out/"t"]), same
    train = ["train", data, "--model", backbone, "--output_dir", out/"m", "--max_steps", 4, "--save_steps", 2, "--eval_steps", 2, "--prompts_per_step", 8, "--use_cpu", "--disable_tqdm", "true", "--learning_rate", 1e-2]
    if name == "train --lora_rank": train += ["--lora_rank", 2]
    return train, [*train, "--resume_from_checkpoint", "True"]

def go_on(forked, words, again):
    "What the documentation says: the same call, or for `train` to resume, and where there is no checkpoint yet to begin anew"
    done = forked(*again)
    if words[0] in ("score", "evaluate") and " exists" in done.text: done.status = 0  # it was whole already, which is compared below
    if again != words and done.status == 2 and "nothing to resume" in done.text: done = forked(*words, "--overwrite")
    return done

SIZES = {"save": (2, 400), "score": (4, 400), "rankings": (4, 400), "evaluate": (4, 400), "train": (1, 400), "train --lora_rank": (0, 400), "tldr": (0, 40)}

@pytest.mark.parametrize("name", SIZES)
@sizes(0, 1)
def test_after_a_kill_at_any_file_operation_the_way_back_leads_to_the_same_bytes(name, size, forked, tmp_path, rows, reward_model, backbone, record):
    data, out = tmp_path/"data/rows.json", tmp_path/"out"
    data.parent.mkdir(), out.mkdir()
    data.write_text(json.dumps(rows[:24]))
    (data.parent/"posts.jsonl").write_text("".join(json.dumps(dict(subreddit="s", title=f"T{i}", post=f"{r['prompt']} {i}", summary=r["ranked_outputs"][0])) + "\n" for i, r in enumerate(rows)))
    if not SIZES[name][size]: pytest.skip("minutes: in the campaign alone")
    words, again = words_of(name, tmp_path, data, reward_model, backbone)
    whole = forked(*words, before=counted(out, tmp_path/"count"), seconds=300)
    assert whole.status == 0, whole.text[-3000:]
    want, n = files_of(out), (tmp_path/"count").stat().st_size
    points = [(i, half) for i in range(1, n + 1) for half in (False, True)]
    random.Random(n).shuffle(points)
    points, faults = sorted(points[:SIZES[name][size]]), []
    before = data.read_bytes()
    for i, half in points:
        shutil.rmtree(out), out.mkdir()
        (out/"mine.txt").write_text("mine")
        first = forked(*words, before=killed_at(i, out, half), seconds=300)
        assert first.status == -signal.SIGKILL, (i, first.text[-500:])
        done = go_on(forked, words, again)
        found = files_of(out) if done.status == 0 else {}
        left = [k for k in found if k != "mine.txt" and found[k] != want.get(k)] + [k for k in want if k not in found]
        if left or found.get("mine.txt") != b"mine": faults.append((i, half, done.status, left, done.text[-700:] if done.status else ""))
    record(f"kills: {name}", "the documented way back ends in the same bytes", len(points) - len(faults), len(points), f"{n} file operations, files whole and cut in half")
    assert data.read_bytes() == before and not faults, "\n".join(map(str, faults[:8])) + f"\n{len(faults)} of {len(points)}"
