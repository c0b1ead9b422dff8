"""Rewards of saved folders by somebody else's code: python without_us.py FOLDER ..., in a process that cannot import mnreward.

Each folder has texts.json. Prints {folder: {way: rewards}} as JSON: the class itself with padding on either side, the pipeline, and RewardBench's way of loading."""
import json, sys
sys.modules["mnreward"] = None  # importing it fails from here on
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from transformers.utils import logging
logging.set_verbosity_error(); logging.disable_progress_bar()

def rewards_of(folder):
    texts = json.load(open(f"{folder}/texts.json"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    found = {}
    for side in "right", "left":
        tokenizer.padding_side = side
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        batch.pop("token_type_ids", None)
        if side == "left": batch["position_ids"] = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)  # GPT-2 does not count them itself
        with torch.no_grad():
            try: found[side] = model(**batch).logits[:, 0].tolist()
            except TypeError:  # a class without position_ids
                batch.pop("position_ids")
                found[side] = model(**batch).logits[:, 0].tolist()
    tokenizer.padding_side = "right"
    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, function_to_apply="none")
    found["pipeline"] = [x["score"] for x in pipe(texts, add_special_tokens=False)]
    rewardbench = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1).eval()  # its default: one label, the tokenizer's padding, batches
    with torch.no_grad(): found["rewardbench"] = [rewardbench(**{k: v for k, v in tokenizer(t, return_tensors="pt", add_special_tokens=False).items() if k != "token_type_ids"}).logits[0, 0].item() for t in texts]
    return found

print(json.dumps({folder: rewards_of(folder) for folder in sys.argv[1:]}))
