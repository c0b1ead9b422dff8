"Random options of the commands: done, or refused with exit status 2 and one line before anything is written; never a traceback"
import json, random, shutil
from collections import Counter
import pytest
from sizes import sizes

VALUES = ["1", "2", "0.1", "0.5", "3", "true", "false", "no", "steps", "epoch", "1e-3", "10", "linear", "cosine_with_min_lr", "adamw_torch", "left"]
STRANGE = ["-1", "0", "nan", "inf", "1e-40", "4294967296", "-5", "x", "", "1.5", "1e9", "[1]", "{\"a\": 1}", "99999999999999999999"]
LEFT_OUT = set("""help help_all config file model output_dir out against push_to_hub resume_from_checkpoint report_to hub_token hub_model_id local_rank deepspeed fsdp
    fsdp_config parallelism_config torch_compile torch_compile_backend torch_compile_mode use_cpu peft_config version posts comparisons cnndm set preset n logging_dir
    ddp_timeout jit_mode_eval tpu_num_cores debug""".split())
COMMANDS = {"train": 300, "score": 300, "evaluate": 300, "rankings": 300, "tldr": 60}

def actions_of(name):
    from mnreward.cli import parser, training_parser
    p = training_parser() if name == "train" else next(a for a in parser()._actions if a.dest == "command").choices[name]
    return [a for a in p._actions if a.dest not in LEFT_OUT and a.option_strings]

def option(rng, a):
    word = a.option_strings[0]
    if a.nargs == 0: return [word]
    known = [str(getattr(c, "value", c)) for c in a.choices or []]
    value = rng.choice(STRANGE if rng.random() < .35 else known or VALUES)
    return [f"{word}={value}"] if rng.random() < .5 else [word, value]

@pytest.mark.parametrize("name", COMMANDS)
@sizes(6, None)
def test_random_options_end_in_a_result_or_in_one_line(name, size, tmp_path, forked, rows, backbone, reward_model, record):
    size = size or COMMANDS[name]
    if name == "tldr" and size < 10: pytest.skip("minutes: in the campaign alone")
    data, out = tmp_path/"r.json", tmp_path/"out"
    data.write_text(json.dumps(rows[:12]))
    (tmp_path/"posts.jsonl").write_text("".join(json.dumps(dict(subreddit="s", title=f"T{i}", post=f"{r['prompt']} {i}", summary=r["ranked_outputs"][0])) + "\n" for i, r in enumerate(rows)))
    base = dict(train=["train", data, "--model", backbone, "--output_dir", out, "--use_cpu", "--max_steps", 2], score=["score", data, "--model", reward_model, "--out", out],
                evaluate=["evaluate", data, "--model", reward_model, "--output_dir", out], rankings=["rankings", data, "--out", tmp_path/"out.json"],
                tldr=["tldr", "--preset", "tiny", "--posts", tmp_path/"posts.jsonl", "--comparisons", data, "--limit", 8, "--output_dir", out])[name]
    rng, actions, faults, ends = random.Random(name), actions_of(name), [], Counter()
    for _ in range(size):
        more = [x for a in rng.sample(actions, min(len(actions), rng.choice([1, 1, 2, 3]))) for x in option(rng, a)]
        done = forked(*base, *more, seconds=300)
        said = [x for x in done.text.splitlines() if x.startswith("mnreward:")]
        left = [x.name for x in (out, tmp_path/"out.json") if x.is_file() or x.is_dir() and any(x.iterdir())]
        ends[done.status] += 1
        fine = done.status == 0 or done.status == 2 and len(said) == 1 and not left
        if not fine: faults.append((more, done.status, left, done.text[-400:]))
        for x in out, tmp_path/"out.json": shutil.rmtree(x, ignore_errors=True) if x.is_dir() else x.unlink(missing_ok=True)
    record(f"options: {name}", "a result, or one line and nothing written", size - len(faults), size, ", ".join(f"{n} ended with {k}" for k, n in sorted(ends.items())))
    assert not faults, "\n".join(map(str, faults[:8])) + f"\n{len(faults)} of {size}"
