"One SGD step on 12 prompts; with torchrun each process takes its share. usage: two_processes.py OUT SIZE [LAYOUT of a decoder [lora]]"
import sys, torch
from transformers import TrainingArguments
from mnreward.cli import leave_processes
from mnreward.collate import RankingSampler
from mnreward.model import Model
from mnreward.synthetic import generate_rankings, small_t5
from mnreward.training import RankingTrainer

out, size = sys.argv[1], int(sys.argv[2])
rows = generate_rankings(11, k=(2, 5), seed=0)
model = Model(*small_t5([r["prompt"]+o for r in rows for o in r["ranked_outputs"]]), 4)
layout, lora = ([*sys.argv[3:], None, None])[:2]
if layout:
    from transformers import LlamaConfig, LlamaModel
    torch.manual_seed(0)
    model = Model(LlamaModel(LlamaConfig(vocab_size=len(model.tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)), model.tokenizer)
if lora: model.add_adapters(rank=2)
# The last three of the epoch weigh nothing, so one process has less; the first, which would be
# repeated to even out the processes, weighs 1
for i in list(RankingSampler(model.tokenize(rows), 6, seed=42))[-3:]: rows[i]["weight"] = 0.0
before = [p.detach().clone() for p in model.parameters()]
args = TrainingArguments(out, per_device_train_batch_size=size, max_steps=1, optim="sgd", learning_rate=1.,
    lr_scheduler_type="constant", max_grad_norm=0., report_to="none", disable_tqdm=True, save_strategy="no",
    use_cpu=True, ddp_find_unused_parameters=False, accelerator_config={"dispatch_batches": False})
def step():
    trainer = RankingTrainer(model, args, train_dataset=model.tokenize(rows), data_collator=model.collator(3, layout=layout or "padded"))
    trainer.train()
    if args.process_index == 0:
        after = trainer.accelerator.unwrap_model(trainer.model).parameters()
        torch.save([b-p.detach() for b, p in zip(before, after) if p.requires_grad], f"{out}/gradient.pt")
    if torch.distributed.is_initialized(): torch.distributed.barrier()

step()
leave_processes()  # when nothing holds the group any more
