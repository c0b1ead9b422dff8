"""Time and memory of tokenising comparisons as many and as long as TL;DR's.

usage: bench_tokens.py [--tokenizer FOLDER] [--rows 92858] [--out FILE.json]

The text is synthetic: words drawn with Zipf's frequencies, in paragraphs. With
--tokenizer they are words of its vocabulary; without, they are made of
syllables, and a unigram vocabulary of 8,000 pieces is made from them, as T5 has
one. Prints seconds to tokenise, seconds to read all rows in
batches of 64 in random order, and the private memory that this reading adds
(most of it are pages of the file, which the system can drop; dirty ones are not).
"""
import argparse, gc, json, os, platform, sys, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

def private_mb(kinds="Private_"):
    "Private memory of this process in MB; its clean part are pages of the mapped file, which can be dropped"
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(x.split()[1]) for x in lines if x.startswith(kinds))*1024/1e6

def make_words(rng, n=20000):
    "Words made of one to three syllables"
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er", "ing")]
    return ["".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(n)]

def vocabulary(tokenizer):
    "The words that a tokenizer has one token for"
    pieces = [p.lstrip("▁Ġ") for p in tokenizer.get_vocab()]
    return sorted({p for p in pieces if p.isascii() and p.isalpha() and p.islower() and len(p) > 2})

def make_rows(n, words=None, words_prompt=285, words_completion=35, seed=0):
    "Rows with one prompt and two completions each"
    import numpy as np
    rng = np.random.default_rng(seed)
    words = np.array(rng.permutation(words or make_words(rng)))
    p = 1/np.arange(10, 10 + len(words))
    p /= p.sum()
    rows = []
    for _ in range(n):
        sizes = [int(rng.gamma(4, m/4)) + 5 for m in (words_prompt, words_completion, words_completion)]
        x, *ys = [words[rng.choice(len(words), s, p=p)] for s in sizes]
        text = "\n\n".join(" ".join(x[i:i + 60]) + "." for i in range(0, len(x), 60))
        rows.append(dict(prompt=f"SUBREDDIT: r/test\n\nTITLE: {' '.join(x[:8])}\n\nPOST: {text}\n\nTL;DR:",
                         ranked_outputs=[" " + " ".join(y) + "." for y in ys]))
    return rows

def make_tokenizer(rows, size=8000):
    "A T5 tokenizer with a unigram vocabulary of the rows' text"
    import io, sentencepiece as spm
    from transformers import T5Tokenizer
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter([r["prompt"].replace("\n", " ") for r in rows]), model_writer=out, vocab_size=size,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_name="identity", minloglevel=2)
    sp = spm.SentencePieceProcessor(model_proto=out.getvalue())
    return T5Tokenizer(vocab=[(sp.id_to_piece(i), sp.get_score(i)) for i in range(sp.get_piece_size())], extra_ids=0)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tokenizer", help="folder of a tokenizer; default: made here")
    p.add_argument("--rows", type=int, default=92858)
    p.add_argument("--max_length", type=int, default=640)
    p.add_argument("--out", type=Path, help="JSON file; an entry is added to it")
    a = p.parse_args()
    import datasets, numpy as np, tokenizers, torch, transformers
    from mnreward.collate import DataCollator
    from mnreward.tokens import RankingDataset
    if a.tokenizer:
        tok = transformers.AutoTokenizer.from_pretrained(a.tokenizer)
        rows = make_rows(a.rows, vocabulary(tok))
    else:
        rows = make_rows(a.rows)
        tok = make_tokenizer(rows[:3000])
    report, start, cpu = {}, time.perf_counter(), time.process_time()
    data = RankingDataset(rows, tok, a.max_length, report=report, keep_suffix="\n\nTL;DR:")
    tokenise, cpu = time.perf_counter() - start, time.process_time() - cpu
    del rows
    gc.collect()
    order = np.random.default_rng(0).permutation(len(data)).tolist()
    loader = torch.utils.data.DataLoader(data, 64, sampler=order, collate_fn=DataCollator(2))
    before, dirty = private_mb(), private_mb("Private_Dirty")
    start, peak = time.perf_counter(), 0
    for n, batch in enumerate(loader):
        if n % 50 == 0: peak = max(peak, private_mb())
    read = time.perf_counter() - start
    result = dict(
        tokenizer=Path(a.tokenizer.rstrip("/").removesuffix("/model")).name if a.tokenizer else "unigram, 8,000 pieces",
        kind=type(tok).__name__, rows=len(data), counted=dict(report), max_length=a.max_length,
        prompt_tokens_mean=round(float(np.mean([len(data[i].prompt_ids) for i in range(0, len(data), 50)])), 1),
        completion_tokens_mean=round(float(np.mean([len(y) for i in range(0, len(data), 50) for y in data[i].completion_ids])), 1),
        file_mb=round(sum(Path(f["filename"]).stat().st_size for f in data._table.cache_files)/1e6, 1),
        tokenise_seconds=round(tokenise, 1), tokenise_cpu_seconds=round(cpu, 1), read_all_seconds=round(read, 1),
        added_private_mb=round(max(peak, private_mb()) - before, 1),
        added_dirty_mb=round(private_mb("Private_Dirty") - dirty, 1), cores=os.cpu_count(),
        versions=dict(python=platform.python_version(), torch=torch.__version__, transformers=transformers.__version__,
                      tokenizers=tokenizers.__version__, datasets=datasets.__version__))
    print(json.dumps(result, indent=1))
    if a.out:
        old = json.loads(a.out.read_text()) if a.out.exists() else []
        old = [r for r in old if r["tokenizer"] != result["tokenizer"]]
        a.out.write_text(json.dumps(old + [result], indent=1) + "\n")

if __name__ == "__main__": main()
