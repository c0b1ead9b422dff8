"What a user writes: load, train, score, a loss and a collator of one's own, the trainer by hand. Runs, and type-checks under pyright"
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainingArguments

from mnreward import LOSSES, DataCollator, DataError, Model, RankingTrainer, evaluate, kwise_loss, load_rankings, train
from mnreward.loss import prompt_weights, reduce_prompts, to_tables
from mnreward.scoring import best_of_n, evaluate_file, score_file, score_stream


def hinge_loss(
    rewards: torch.Tensor, ranks: torch.Tensor | None = None, reduction: str = "mean", *, wins: torch.Tensor | None = None,
    weight: torch.Tensor | None = None, totals: torch.Tensor | None = None, margins: torch.Tensor | float | None = None,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    "A pair costs what its gap lacks to a lead of 1"
    r, w, n = to_tables(rewards, ranks, wins, totals)
    gap = (r[:, :, None] - r[:, None, :]).masked_fill(w == 0, 0)  # (B, K, K)
    L = (w * (1 - gap).clamp(min=0)).sum((1, 2)) / n.clamp(min=1)
    return reduce_prompts(L, prompt_weights(w, weight, n), n, reduction)


class EndOfPrompt(DataCollator):
    "Reads the last tokens of each prompt only"
    def __init__(self, *args, most: int = 16, **kwargs):
        super().__init__(*args, **kwargs)
        self.most = most

    def tokens(self, prompts: list) -> dict[str, np.ndarray]:
        return super().tokens([(x[-self.most:], completions) for x, completions in prompts])


def use_everything(rankings_file: Path, backbone: Path, out: Path) -> dict[str, float]:
    rankings: list[dict] = load_rankings(rankings_file)
    quick: dict[str, Any] = dict(max_steps=2, prompts_per_step=8, learning_rate=1e-3, use_cpu=True, disable_tqdm=True)

    model: Model = train(rankings, backbone, out/"kwise", **quick)
    hinge: Model = train(rankings, backbone, out/"hinge", loss=hinge_loss, **quick)
    train(rankings, backbone, out/"lora", lora_rank=2, loss="plackett_luce", eval_fraction=0, **quick)

    prompts = [r["prompt"] for r in rankings[:4]]
    completions = [r["ranked_outputs"] for r in rankings[:4]]
    rewards: list[list[float]] = model.score(prompts, completions)
    accuracy: float = evaluate(rankings[:4], rewards)["accuracy"]["value"]
    best: str = best_of_n(prompts[0], completions[0], model)
    stream = score_stream(iter(rankings[:4]), hinge)
    score_file(rankings_file, out/"kwise", out/"scored.jsonl")
    compared = evaluate_file(rankings_file, model, hinge, out/"evaluation")

    args = TrainingArguments(str(out/"by-hand"), max_steps=2, report_to="none", use_cpu=True, disable_tqdm=True)
    data = model.tokenize(rankings)
    collate = EndOfPrompt(data.max_ranks, model.config.pad_token_id, most=8)
    trainer = RankingTrainer(model, args, data, loss=hinge_loss, data_collator=collate)
    trainer.train()

    table = kwise_loss(torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[0, 1, 2]]))
    try: train(rankings, backbone, out/"kwise", **quick)
    except DataError as error: refused = str(error)
    else: refused = ""
    return dict(accuracy=accuracy, best=float(len(best)), streamed=float(len(list(stream))), loss=table.item(),
                difference=compared["difference"]["accuracy"]["value"], losses=float(len(LOSSES)), refused=float(len(refused)))


if __name__ == "__main__": print(use_everything(*map(Path, sys.argv[1:4])))
