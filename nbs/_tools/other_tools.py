"""How far rewards of saved folders are from ours in other tools: the largest difference by tool and family (README, and the chapter 'Use it').

    python nbs/_tools/other_tools.py [--out nbs/results/other_tools.json]

Small models of each family, with weights drawn at random and moved; the other tools run in a process that cannot import mnreward (tests/interop).
"""
import argparse, importlib.metadata, json, sys, tempfile
from pathlib import Path

import torch
from transformers import AutoModel

sys.path.insert(0, str(Path(__file__).parents[2]/"tests/interop"))
from mnreward.files import describe_run, write_json
from mnreward.model import Model
from mnreward.synthetic import generate_rankings, small_t5
from test_classifiers import ANSWERS, CHAT, ENCODERS, FAMILIES, QUESTION, bare, byte_level, config_of, made, shaken, without_us, written

def decoder(folder, family): return made(family), [CHAT], None
def encoder(folder, family): return shaken(Model.from_backbone(bare(family, folder/f"{family}-bare")).eval()), [QUESTION], None
def adapted(folder, family):
    name = family.removesuffix(" adapters")
    base = folder/f"{name}-base"
    if name not in FAMILIES: bare(name, base)
    else:
        torch.manual_seed(0)
        AutoModel.from_config(config_of(name)).save_pretrained(base)
        byte_level().save_pretrained(base)
    return shaken(Model.from_backbone(base).add_adapters(rank=2).eval()), [CHAT if name in FAMILIES else QUESTION], None
def t5(folder, family):
    rows = generate_rankings(20, k=3, seed=0)
    model = shaken(Model(*small_t5([r["prompt"] + y for r in rows for y in r["ranked_outputs"]])).eval())
    item = model.tokenize(rows[:1], training=False)[0]
    texts = [model.tokenizer.decode([*item.prompt_ids, *y], skip_special_tokens=True) for y in item.completion_ids]
    return model, [rows[0]["prompt"]], (texts, rows[0]["ranked_outputs"])

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--out", default="nbs/results/other_tools.json")
    a = p.parse_args()
    kinds = {**dict.fromkeys(FAMILIES, decoder), **dict.fromkeys([*ENCODERS, "modernbert"], encoder), "t5": t5, **dict.fromkeys(["llama adapters", "qwen3 adapters", "bert adapters", "deberta-v2 adapters"], adapted)}
    ours = {}
    with tempfile.TemporaryDirectory() as tmp:
        for family, make in kinds.items():
            model, prompt, texts = make(Path(tmp), family)
            folder = Path(tmp, family)
            model.save_pretrained(folder)
            answers = texts[1] if texts else ANSWERS
            ours[family], = model.score(prompt, [answers])
            given = texts[0] if texts else written(model.tokenizer) if prompt[0] is CHAT else [[QUESTION, y] for y in ANSWERS]
            (folder/"texts.json").write_text(json.dumps(given))
        found = {Path(folder).name: ways for folder, ways in without_us(Path(tmp), ours).items()}
    largest = {family: {way: max(abs(x-y) for x, y in zip(ours[family], rewards)) for way, rewards in ways.items()} for family, ways in found.items()}
    spread = {family: max(r) - min(r) for family, r in ours.items()}
    names = "transformers", "trl", "peft", "sentence-transformers"
    write_json(dict(what="largest difference of a reward from ours, by family and tool; spread: largest less smallest of ours", largest=largest, spread=spread,
                    **describe_run(), tools={n: importlib.metadata.version(n) for n in names}), a.out)

if __name__ == "__main__": main()
