"Folders of models that were damaged or made to harm: refused in one line or loaded as they were, and nothing in them is executed"
import json, math, pickle, random, shutil
from collections import Counter
from sizes import sizes

STRANGE = [None, True, 0, -1, 1.5, 1e308, float("nan"), 10**12, "", "x", "../../../etc/passwd", [], [1], {}, {"a": {}}, "\u0000", "llama", "decoder", "__import__('os').system('touch PWNED')"]

class Evil:
    def __reduce__(self): return eval, ("open('PWNED', 'w')",)

def inside(value, path=()):
    if path: yield path
    if isinstance(value, (dict, list)):
        for k, v in (value.items() if isinstance(value, dict) else enumerate(value)): yield from inside(v, (*path, k))

def harm(rng, folder):
    "Damage one file of a folder"
    files = sorted(x for x in folder.iterdir() if x.is_file())
    how = rng.choice(["value", "value", "value", "cut", "bytes", "gone", "code", "pickle", "template"])
    jsons = [x for x in files if x.suffix == ".json" and x.name != "tokenizer.json"]
    if how == "value":
        file = rng.choice(jsons)
        tree = json.loads(file.read_text())
        paths = [*inside(tree)]
        if not paths: return how
        *way, last = rng.choice(paths)
        at = tree
        for step in way: at = at[step]
        at[last] = rng.choice(STRANGE)
        file.write_text(json.dumps(tree))
        return f"{how} {file.name} {way} {last} {at[last]!r}"
    file = rng.choice(files)
    if how == "cut": file.write_bytes(file.read_bytes()[:rng.randrange(file.stat().st_size + 1)])
    if how == "bytes":
        data = bytearray(file.read_bytes())
        for _ in range(3): data[rng.randrange(min(len(data), 4000))] = rng.randrange(256)
        file.write_bytes(bytes(data))
    if how == "gone": file.unlink()
    if how == "code":
        for name in ("reward_model.py", "modeling_x.py"): (folder/name).write_text("open('PWNED', 'w')\n")
        config = json.loads((folder/"config.json").read_text()) | dict(model_type="x", auto_map={"AutoConfig": "modeling_x.C", "AutoModel": "modeling_x.M", "AutoModelForSequenceClassification": "modeling_x.M"})
        if rng.random() < .5: config["model_type"] = "mnreward"
        (folder/"config.json").write_text(json.dumps(config))
    if how == "pickle":
        for x in folder.glob("*.safetensors"): x.unlink()
        for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"): (folder/name).write_bytes(pickle.dumps(Evil()))
    if how == "template":
        (folder/"chat_template.jinja").write_text(rng.choice(["{{ ''.__class__.__mro__[1].__subclasses__() }}", "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
                                                              "{{ cycler.__init__.__globals__.os.popen('touch PWNED').read() }}", "{% include '/etc/passwd' %}", "{{ messages"]))
    return f"{how} {file.name}"

@sizes(12, 600)
def test_a_damaged_or_hostile_folder_executes_nothing_and_is_refused_in_a_line(size, forked, tmp_path, rows, reward_model, decoder, record, monkeypatch):
    from mnreward import Model
    monkeypatch.setattr("mnreward.tokens.SECONDS", .5)
    monkeypatch.chdir(tmp_path)
    Model.from_backbone(decoder).save_pretrained(tmp_path/"decoder")
    data, out = tmp_path/"r.jsonl", tmp_path/"out.jsonl"
    chats = [dict(prompt=[dict(role="user", content=r["prompt"])], ranked_outputs=r["ranked_outputs"]) for r in rows[:2]]
    rng, faults, ends = random.Random(3), [], Counter()
    for n in range(size):
        folder = tmp_path/"hostile"
        shutil.copytree(rng.choice([reward_model, tmp_path/"decoder"]), folder)
        what = harm(rng, folder)
        data.write_text("".join(json.dumps(r) + "\n" for r in (chats if what.startswith("template") else rows[:2])))
        done = forked("score", data, "--model", folder, "--out", out)
        said = [x for x in done.text.splitlines() if x.startswith("mnreward:")]
        ends[done.status] += 1
        if done.status == 0:
            fine = all(math.isfinite(x) for line in out.read_text().splitlines() for x in json.loads(line)["rewards"])
            out.unlink()
        else: fine = done.status == 2 and len(said) == 1 and not out.exists()
        if (tmp_path/"PWNED").exists() or (folder/"PWNED").exists(): fine = False
        if not fine: faults.append((what, done.status, done.text[-500:]))
        shutil.rmtree(folder)
    record("hostile folders", "nothing executed; one line, or finite rewards", size - len(faults), size, ", ".join(f"{n} ended with {k}" for k, n in sorted(ends.items())))
    assert not faults, "\n".join(map(str, faults[:8])) + f"\n{len(faults)} of {size}"
