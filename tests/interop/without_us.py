"""Rewards of saved folders by somebody else's code: python without_us.py FOLDER ..., in a process that cannot import mnreward.

Each folder has texts.json: texts (a decoder, T5's encoder), pairs of prompt and completion (an encoder), or pairs of token ids (T5 with its decoder). Prints {folder: {way: rewards}} as JSON: the class itself with padding on either side,
the pipeline, RewardBench's way of loading; sentence-transformers for pairs; peft for adapters."""
import json, sys
sys.modules["mnreward"] = None  # importing it fails from here on
import torch
from pathlib import Path
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from transformers.utils import logging
logging.set_verbosity_error(); logging.disable_progress_bar()

def logits(model, batch):
    try: return model(**batch).logits[:, 0].tolist()
    except TypeError:  # a class without position_ids
        return model(**{k: v for k, v in batch.items() if k != "position_ids"}).logits[:, 0].tolist()

def of_texts(folder, texts, tokenizer, model, own_code):
    found, bare = {}, dict(add_special_tokens=own_code)  # a decoder's texts bring their special tokens
    for side in "right", "left":
        tokenizer.padding_side = side
        batch = tokenizer(texts, return_tensors="pt", padding=True, **bare)
        batch.pop("token_type_ids", None)
        if side == "left" and not own_code: batch["position_ids"] = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)  # GPT-2 does not count them itself
        found[side] = logits(model, batch)
    tokenizer.padding_side = "right"
    if hasattr(model, "config") and not own_code:
        pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, function_to_apply="none")
        found["pipeline"] = [x["score"] for x in pipe(texts, **bare)]
    rewardbench = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, trust_remote_code=own_code).eval()  # its default: one label, the tokenizer's padding
    found["rewardbench"] = [logits(rewardbench, {k: v for k, v in tokenizer(t, return_tensors="pt", **bare).items() if k != "token_type_ids"})[0] for t in texts]
    return found

def of_pairs(folder, pairs, tokenizer, model):
    from sentence_transformers import CrossEncoder
    prompts, completions = map(list, zip(*pairs))
    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, function_to_apply="none")
    return dict(right=logits(model, tokenizer(prompts, completions, return_tensors="pt", padding=True)), crossencoder=CrossEncoder(folder, device="cpu").predict([tuple(x) for x in pairs]).tolist(),
                pipeline=[pipe(dict(text=x, text_pair=y))["score"] for x, y in pairs])

def of_adapters(folder, texts, tokenizer):
    from peft import AutoPeftModelForSequenceClassification
    model = AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=1).eval()
    model.config.pad_token_id = tokenizer.pad_token_id
    batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False) if isinstance(texts[0], str) else tokenizer(*map(list, zip(*texts)), return_tensors="pt", padding=True)
    if isinstance(texts[0], str): batch.pop("token_type_ids", None)
    return dict(peft=logits(model, batch))

def of_ids(pairs, model):
    one = lambda x, y: model(input_ids=torch.tensor([x]), decoder_input_ids=torch.tensor([[model.config.backbone["decoder_start_token_id"], *y]])).logits[0, 0].item()
    return dict(decoder=[one(x, y) for x, y in pairs])

@torch.no_grad()
def rewards_of(folder):
    texts, own_code = json.load(open(f"{folder}/texts.json")), Path(folder, "reward_model.py").exists()
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=own_code)
    if Path(folder, "adapter_config.json").exists(): return of_adapters(folder, texts, tokenizer)
    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=own_code).eval()
    if isinstance(texts[0], str): return of_texts(folder, texts, tokenizer, model, own_code)
    return of_pairs(folder, texts, tokenizer, model) if isinstance(texts[0][0], str) else of_ids(texts, model)

print(json.dumps({folder: rewards_of(folder) for folder in sys.argv[1:]}))
