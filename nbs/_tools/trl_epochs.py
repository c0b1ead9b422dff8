"""What an epoch of TRL's RewardTrainer on all pairs costs, against one of ours on the rankings with shared prompts (the chapter on the cost of K).

    pip install 'mnreward[trl]'
    python nbs/_tools/trl_epochs.py RESULTS.json

RESULTS.json is a file that `mnreward bench --out RESULTS.json` wrote on this machine: model, lengths and bound are those of its settings, and the comparison is stored in it as `trl`, at K = 4 and 9 or at the largest K that it has.
Nothing else in the file changes. Exit status 2 and one line if it cannot be.
"""
import argparse, json, sys, tempfile, warnings
from functools import partial
from pathlib import Path

import numpy as np
import transformers
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, PrinterCallback, TrainingArguments

from mnreward.bench import BenchSettings, attention_for, bench_model, bench_tokenizer, count_cells, interleaved, model_shape
from mnreward.bench import pair_items, repeat_ratio, step_flops, summary_lines
from mnreward.files import describe_run, write_json
from mnreward.rankings import DataError
from mnreward.training import RankingTrainer

def import_trl():
    "TRL's RewardConfig and RewardTrainer; DataError says how to get them"
    try: from trl import RewardConfig, RewardTrainer
    except ImportError as e: raise DataError("the comparison with TRL needs the package trl: pip install 'mnreward[trl]'") from e
    return RewardConfig, RewardTrainer

def reference_arguments(
    folder,  # where a trainer may write
    total,  # pairs or rankings of a step
    size,  # cells of one
    bound,  # most cells in a micro-batch
    cuda=False,  # on a GPU, in bfloat16?
):
    "What both trainers are told: fields of transformers' TrainingArguments"
    batch = max(n for n in range(1, total+1) if total % n == 0 and (n == 1 or n*size <= bound))
    return dict(
        output_dir=folder, num_train_epochs=1, learning_rate=1e-5, per_device_train_batch_size=batch, max_grad_norm=1.0, seed=0,
        gradient_accumulation_steps=total // batch, bf16=cuda, lr_scheduler_type="constant", gradient_checkpointing=False,
        save_strategy="no", eval_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True, use_cpu=not cuda,
        dataloader_pin_memory=cuda)

def pair_rows(items):
    "All pairs of the rankings, one dict for each, as TRL takes tokenised ones"
    def ids(item, k): return [*map(int, item.prompt_ids), *map(int, item.completion_ids[k])]
    return [dict(chosen_ids=ids(item, 0), rejected_ids=ids(item, 1)) for item in pair_items(items)]

def trl_model(model):
    "The model that TRL trains: the same weights with transformers' head for one label"
    config = model.backbone.config
    fields = {k: v for k, v in config.to_dict().items() if k not in ("id2label", "label2id")}
    other = AutoModelForSequenceClassification.from_config(type(config).from_dict(fields | dict(num_labels=1)))
    other.base_model.load_state_dict(model.backbone.state_dict())
    other.score.weight.data.copy_(model.head.weight.data)
    return other.to(model.device)

def trl_trainer(
    model,  # from `trl_model`
    items,  # rankings of an epoch
    prompts,  # of an optimiser step
    bound,  # most cells in a micro-batch
    folder,  # where it may write
    **changes,  # of `reference_arguments`
):
    "TRL's trainer on all pairs"
    RewardConfig, RewardTrainer = import_trl()
    pairs, cuda = pair_items(items), model.device.type == "cuda"
    args = reference_arguments(folder, prompts * len(pairs) // len(items), max(map(count_cells, pairs)), bound, cuda)
    return RewardTrainer(model, RewardConfig(**args | changes, max_length=None), train_dataset=Dataset.from_list(pair_rows(items)),
                         processing_class=bench_tokenizer())

class InMemoryRankings(list):
    "Tokenised rankings as a data set of our trainer"
    epoch = None
    def set_epoch(self, epoch): pass
    @property
    def longest(self): return np.array([len(i.prompt_ids) + max(map(len, i.completion_ids)) for i in self])

def sharing_trainer(
    model,  # Model
    items,  # rankings of an epoch
    prompts,  # of an optimiser step
    bound,  # most cells in a micro-batch
    folder,  # where it may write
    **changes,  # of `reference_arguments`
):
    "Our trainer on the rankings, with shared prompts"
    size = max(count_cells(i, "shared") for i in items)
    args = reference_arguments(folder, prompts, size, bound, model.device.type == "cuda")
    args |= dict(label_names=["labels", "weight"], accelerator_config=dict(dispatch_batches=False))
    return RankingTrainer(model, TrainingArguments(**args | changes), train_dataset=InMemoryRankings(items),
                          data_collator=model.collator(len(items[0].wins), layout="shared"))

def epoch_metrics(make_trainer, model, *args, **changes):
    "Metrics of one epoch of a trainer made for it, as it reports them"
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(model, *args, folder, **changes)
        trainer.remove_callback(PrinterCallback)
        metrics = trainer.train().metrics
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    return metrics

def compare_trl(
    model,  # Model of a decoder
    items,  # rankings of an epoch
    prompts,  # of an optimiser step
    repeats=3,  # epochs of each
    bound=8192,  # most cells in a micro-batch
):
    "Seconds of an epoch: TRL on all pairs, ours on the rankings"
    other = trl_model(model)
    def ours(items):
        with attention_for(model, "shared"): return epoch_metrics(sharing_trainer, model, items, prompts, bound)["train_runtime"]
    def theirs(items): return epoch_metrics(trl_trainer, other, items, prompts, bound)["train_runtime"]
    for epoch in (theirs, ours): epoch(items[:prompts])  # warm-up
    times = interleaved(dict(trl=partial(theirs, items), mnreward=partial(ours, items)), repeats)
    lens = [len(y) for y in items[0].completion_ids]
    flops = step_flops(model_shape(model.backbone), len(items[0].prompt_ids), lens)
    return dict(K=len(lens), prompts=len(items), steps=len(items)//prompts, pairs=len(pair_items(items)), **times,
                theory=round(flops["pairs"] / flops["shared"], 3), **repeat_ratio(times["trl"], times["mnreward"]))

def read_results(path):
    "What `mnreward bench` stored there and its BenchSettings; DataError if it is something else, or from another machine"
    try: results = json.loads(Path(path).read_text())
    except OSError as e: raise DataError(f"{path} cannot be read: {e.strerror}") from e
    except ValueError as e: raise DataError(f"{path} is not JSON: {e}") from e
    try:
        fields = {k: v for k, v in results["settings"].items() if k in BenchSettings.__dataclass_fields__}
        settings, device = BenchSettings(**fields), results["device"]
    except (KeyError, TypeError, AttributeError): raise DataError(f"{path} is no result of `mnreward bench --out {path}`") from None
    here = describe_run()["device"]
    if device != here: raise DataError(f"{path} was measured on {device}, and this is {here}: run mnreward bench here first")
    return results, settings

def store_comparison(path, say):
    "Compare at the settings of a stored run, and store the comparison beside its ratios"
    import_trl()
    results, s = read_results(path)
    model = bench_model(s.preset, s.seed)
    compared = []
    for K in [K for K in s.ks if K in (4, 9)] or s.ks[-1:]:
        compared.append(compare_trl(model, s.items(model, 2*s.prompts, K), s.prompts, min(3, s.repeats), s.bound))
        say(f"K={K}: an epoch of TRL takes {compared[-1]['median']:.2f} times ours")
    results["trl"] = compared
    results["versions"]["trl"] = describe_run()["versions"]["trl"]
    write_json(results, path)
    return results

def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("results", help="a JSON file of `mnreward bench`")
    path = p.parse_args(argv).results
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            results = store_comparison(path, partial(print, flush=True))
    except DataError as e:
        print(f"trl_epochs.py: {e}", file=sys.stderr)
        return 2
    print("\n".join(line for line in summary_lines(results) if "TRL" in line))
    print(f"written: {path}")

if __name__ == "__main__": sys.exit(main())
