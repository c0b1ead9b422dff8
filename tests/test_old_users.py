"Code in the way of withmartian/multinomial_reward, written afresh after its README: only the import differs, and what the chapter 'Train' lists"
import json, pytest, torch
from transformers import AutoTokenizer, T5EncoderModel, Trainer, TrainingArguments
from mnreward import DataCollator, Model, RankingDataset, create_comparison_dataset
from mnreward.evaluation import trainer_metrics

MAX_RANKS, MAX_LENGTH = 4, 64

def parts(rows, backbone):
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    model = Model(T5EncoderModel.from_pretrained(backbone), tokenizer, max_ranks_per_batch=MAX_RANKS)
    return tokenizer, model, create_comparison_dataset(rows, min_words=0)

def train(model, rankings, tokenizer, out):
    collator = DataCollator(max_ranks_per_batch=MAX_RANKS, max_sequence_length=MAX_LENGTH)
    data = RankingDataset(rankings, tokenizer, max_length=MAX_LENGTH)
    args = TrainingArguments(out, max_steps=12, per_device_train_batch_size=8, learning_rate=1e-2, eval_strategy="steps", eval_steps=12, use_cpu=True, disable_tqdm=True, report_to="none", save_strategy="no", seed=0, data_seed=0, logging_steps=1)
    # scored rankings are of any K: the collator that is given bounds it
    trainer = Trainer(model=model, args=args, train_dataset=data, data_collator=collator, eval_dataset=data, compute_metrics=trainer_metrics)
    trainer.train()
    return trainer.state.log_history

def test_the_stock_trainer_learns_from_their_format(rows, backbone, tmp_path):
    short = [r | dict(ranked_outputs=r["ranked_outputs"][:MAX_RANKS]) for r in rows]
    (tmp_path/"data.json").write_text(json.dumps([{k: r[k] for k in ("prompt", "ranked_outputs")} for r in short]))
    tokenizer, model, rankings = parts(json.loads((tmp_path/"data.json").read_text()), backbone)
    frozen = model.transformer.encoder.block[:1]
    for layer in frozen: layer.requires_grad_(False)
    before = [p.clone() for p in frozen.parameters()]
    log = train(model, rankings, tokenizer, tmp_path/"out")
    losses = [x["loss"] for x in log if "loss" in x]
    assert losses[0] == pytest.approx(0.69, abs=0.2) and min(losses[-3:]) < losses[0] - 0.05
    assert log[-2]["eval_accuracy"] > 0.6 and all(torch.equal(a, b) for a, b in zip(before, frozen.parameters()))

def test_rankings_of_texts_that_begin_with_their_prompt_are_split_again(rows, backbone):
    tokenizer, model, rankings = parts(rows, backbone)
    joined = [[f"{r['prompt']}\n{y}" for y in r["ranked_outputs"]] for r in rankings]
    ours, theirs = (RankingDataset(x, tokenizer, max_length=MAX_LENGTH) for x in (rankings, joined))
    for a, b in zip(ours, theirs):
        assert a.prompt_ids.tolist() == b.prompt_ids.tolist() and [y.tolist() for y in a.completion_ids] == [y.tolist() for y in b.completion_ids]
    with pytest.raises(ValueError, match="not an object"): RankingDataset([["no prompt", "at all"]], tokenizer, max_length=MAX_LENGTH)

def test_a_sequence_longer_than_max_sequence_length_is_refused(rows, backbone):
    tokenizer, *_ = parts(rows, backbone)
    data = RankingDataset(rows[:2], tokenizer, max_length=MAX_LENGTH)
    with pytest.raises(ValueError, match="max_length"): DataCollator(5, 4)([data[0]])
