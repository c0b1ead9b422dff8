"Broken files of every format: refused with one line that names file and place, or read; and what was read can be evaluated, cleaned and written"
import csv, gzip, io, json, random
from collections import Counter
from sizes import sizes
from mnreward.evaluation import evaluate
from mnreward.files import load_rankings
from mnreward.rankings import create_comparison_dataset, is_usable

def deep(n, x=1):
    for _ in range(n): x = [x]
    return x

STRANGE = [None, True, False, 0, -1, 1, 5, 1.5, 1e300, float("nan"), float("inf"), 10**30, 10**400, "", " ", "x", "0", "\ud800", "\x00", "a\u2028b",
           "\x1b[31m", "<script>x</script>", [], [[]], [1, 2], ["a", "b"], [None], [0, "1", None], {}, {"a": 1}, {"\ud800": 1}, deep(5), deep(70), deep(600), [10**400, 0]]

def ranking(rng, n):
    K = rng.choice([2, 3, 4])
    row = dict(prompt=f"Say hello {n}.", ranked_outputs=[f"Hello number {k} of {n}, good to see you." for k in range(K)])
    for name, value in dict(ranks=[*range(K)], comparisons=[[0, 1], [1, 0, 2]], scores=[K - k for k in range(K)], weight=2, id=f"r{n}", foo=1,
                            margins=[[0] * K] * K, metadata=dict(policies=[["a"]] * K, judgements=[dict(winner=0, loser=1, worker="w", confidence=7, split="train", batch="b", policies=["a", "b"])])).items():
        if rng.random() < 0.4: row[name] = value
    return row

def pair(rng, n):
    turn = [dict(role="user", content=f"Hi {n}.")]
    if rng.random() < .5: return dict(chosen=[*turn, dict(role="assistant", content="Hello.")], rejected=[*turn, dict(role="assistant", content="No.")])
    return dict(prompt=f"Hi {n}.", chosen="Hello.", rejected="No.", margin=1)

def judgement(rng, n):
    return dict(info=dict(id=f"t{n // 3}", post=f"My cat is red {n // 3}.", title="cat", subreddit="cats"), choice=n % 2, worker="w", batch="b", split="train",
                summaries=[dict(text=f"red cat {n % 3}", policy="sup"), dict(text="blue dog", policy="ref")], extra=dict(confidence=7))

def other(rng, n):
    return rng.choice([dict(prompt=f"q{n}", completions=["a b", "c d"], scores=[1, 2]), dict(question=f"q{n}", answer_0="a", answer_1="b", score_0=1, score_1=-1),
                       dict(conversations=[{"from": "human", "value": f"q{n}"}], chosen={"from": "gpt", "value": "a"}, rejected={"from": "gpt", "value": "b"}),
                       dict(history=f"q{n}", human_ref_A="a", human_ref_B="b", labels=1), dict(prompt=f"q{n}", answers=[dict(answer="a", rank=1), dict(answer="b", rank=2)])])

def inside(value, path=()):
    "Paths of all values in a row"
    if path: yield path
    if isinstance(value, dict):
        for k, v in value.items(): yield from inside(v, (*path, k))
    elif isinstance(value, list):
        for k, v in enumerate(value): yield from inside(v, (*path, k))

def spoil(rng, row):
    "Change, remove or add one value, somewhere"
    row = json.loads(json.dumps(row))
    *way, last = rng.choice([*inside(row)])
    at = row
    for step in way: at = at[step]
    how = rng.random()
    if how < .75: at[last] = rng.choice(STRANGE)
    elif how < .85: del at[last]
    elif isinstance(at, dict): at[rng.choice(["ranks", "rank", "comparisons", "weight", "\ud800", "x" * 999, "metadata", "winner"])] = rng.choice(STRANGE)
    else: at.insert(0, rng.choice(STRANGE))
    return row

def dumps(x): return json.dumps(x)  # NaN and lone surrogates as escapes

def file_of(rng, rows, folder, n):
    "The rows in one of the formats, its bytes cut or spoilt now and then"
    kind = rng.choice(["json", "jsonl", "jsonl", "csv", "jsonl.gz", "json", "parquet"])
    if kind == "parquet":
        import pyarrow as pa, pyarrow.parquet as pq
        try: pq.write_table(pa.Table.from_pylist(rows), folder/f"{n}.parquet")
        except (pa.ArrowException, UnicodeError, OverflowError, TypeError): kind = "jsonl"
    if kind == "csv":
        names, text = dict.fromkeys(k for r in rows for k in r), io.StringIO()
        out = csv.writer(text)
        out.writerow(names)
        for r in rows: out.writerow([r[k] if isinstance(r.get(k), str) else dumps(r[k]) if k in r else "" for k in names])
        data = text.getvalue().encode("utf8", "surrogatepass")
    elif kind == "parquet": data = (folder/f"{n}.parquet").read_bytes()
    else: data = (dumps(rows) if kind == "json" else "\n".join(map(dumps, rows))).encode()
    if rng.random() < .12: data = data[:rng.randrange(len(data) + 1)]
    if rng.random() < .08:
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.choice([b"\xff", b"\x00", b"}", b"]", b'"', b",", b"\n", b"\xef\xbb\xbf", b"\xc3"]) + data[at:]
    path = folder/f"{n}.{kind}"
    path.write_bytes(gzip.compress(data) if kind.endswith("gz") else data)
    return path

def fault(path, command, out):
    "What is wrong with how a file was taken, or None"
    counts = []
    for more in [], ["--skip-bad-rows"]:
        status, lines = command("rankings", path, "--out", out, *more)
        if isinstance(status, Exception): return f"{type(status).__name__}: {status}"[:200]
        if status not in (0, 2): return f"exit status {status}"
        if status and (len(lines) != 1 or path.name not in lines[0] or len(lines[0]) > 1200): return f"says {lines}"[:300]
        counts.append(status)
        if status: assert not out.exists()
        else:
            rows = load_rankings(out)
            if any(map(is_usable, rows)): evaluate(rows, [[float(k) for k in range(len(r["ranked_outputs"]))] for r in rows], n_boot=2)
            create_comparison_dataset(rows, 3)
            out.unlink()
    return None if counts != [0, 2] else "read whole, but not when bad rows are skipped"

@sizes(60, 4000)
def test_broken_files_are_refused_in_one_line_or_read(size, tmp_path, command, record):
    rng, faults, ends = random.Random(13), {}, Counter()
    for n in range(size):
        make = rng.choice([ranking, ranking, pair, judgement, other])
        rows = [make(rng, i) for i in range(4)]
        for _ in range(rng.choice([1, 1, 1, 2])):
            i = rng.randrange(4)
            rows[i] = spoil(rng, rows[i])
        path = file_of(rng, rows, tmp_path, n)
        try: why = fault(path, command, tmp_path/"out.json")
        except Exception as e: why = f"after reading: {type(e).__name__}: {e}"[:300]
        (tmp_path/"out.json").unlink(missing_ok=True)
        if why: faults[path.name] = (why, rows)
        ends["fault" if why else "kept"] += 1
        path.unlink()
    record("broken inputs", "one line with file and place, or read and usable", ends["kept"], size)
    assert not faults, "\n".join(f"{k}: {why}\n    {str(rows)[:900]}" for k, (why, rows) in [*faults.items()][:12]) + f"\n{len(faults)} of {size}"
