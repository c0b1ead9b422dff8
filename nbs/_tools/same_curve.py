"""Does training take the same course when each prompt is encoded once? Losses of the first steps, both ways, from one seed, on real rankings.

    MNREWARD_DATA=... python nbs/_tools/same_curve.py --model FOLDER_OR_NAME [--steps 20] [--out nbs/results/same_curve.json]

Rankings: rankings/finegrained_qa.jsonl (prompts of about 650 tokens, K = 4). Needs a decoder.
"""
import argparse, os, platform, tempfile
from pathlib import Path

import torch, transformers
from mnreward import load_rankings
from mnreward.files import write_json
from mnreward.training import RankingTrainer, load_model, run_training, training_arguments

def losses(data, model, share_prompt, steps, prompts_per_step, max_length, seed=0, learning_rate=1e-5):
    "Loss of every step, layout, and the cells (tokens with padding) that were encoded"
    model, step_losses, cells = load_model(model, 9, max_length, seed), [], []
    with tempfile.TemporaryDirectory() as out:
        args = training_arguments(out, prompts_per_step, evaluated=False, max_steps=steps, seed=seed, learning_rate=learning_rate,
                                  per_device_train_batch_size=prompts_per_step, save_strategy="no", logging_strategy="no", disable_tqdm=True)
        trainer = RankingTrainer(model, args, model.tokenize(load_rankings(data)), share_prompt=share_prompt)
        training_step = trainer.training_step
        def recorded_step(model, inputs, *rest):
            cells.append(inputs["input_ids"].numel())
            step_losses.append(training_step(model, inputs, *rest).item())
            return torch.tensor(step_losses[-1], device=args.device)
        trainer.training_step = recorded_step
        run_training(trainer)
    return dict(losses=step_losses, layout=trainer.layout, attention=trainer.attention, cells=sum(cells), parameters=sum(p.numel() for p in model.parameters()))

def same_curve(data, model, steps=20, prompts_per_step=2, max_length=1024, seed=0, learning_rate=1e-5):
    "Both ways, their largest difference, and what was run"
    shared, rows = (losses(data, model, s, steps, prompts_per_step, max_length, seed, learning_rate) for s in (True, False))
    worst = max(abs(a - b) for a, b in zip(shared["losses"], rows["losses"]))
    return dict(model=Path(str(model)).name, data=Path(data).name, steps=steps, prompts_per_step=prompts_per_step, max_length=max_length, seed=seed, learning_rate=learning_rate, worst=worst,
                shared=shared, rows=rows, precision="float32", device="cuda" if torch.cuda.is_available() else "cpu", torch=torch.__version__, transformers=transformers.__version__, python=platform.python_version())

if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--out", default="nbs/results/same_curve.json")
    a = p.parse_args()
    transformers.logging.set_verbosity_error()
    found = same_curve(Path(os.environ["MNREWARD_DATA"])/"rankings"/"finegrained_qa.jsonl", a.model, a.steps)
    write_json(found, a.out)
    print(f"largest difference of the loss in {a.steps} steps: {found['worst']:.1e}; cells {found['rows']['cells']} and {found['shared']['cells']} shared")
