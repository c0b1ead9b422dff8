"""What the presets of the TL;DR recipe need: parameters, memory, operations and hours, computed on the meta device.

usage: plan_table.py [--out nbs/results/plan.json]
"""
import argparse

from mnreward.files import describe_run, write_json
from mnreward.tldr import plan, presets

def plans():
    "A plan of each preset with a card, and of the largest decoder with adapters on a card of 24 GB"
    small = dict(lora_rank=16, card="L4", batch_size=1, gradient_checkpointing=True)
    return [plan(name) for name in presets if presets[name].card] + [plan("h100-3b", **small)]

if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default="nbs/results/plan.json")
    found = plans()
    write_json(dict(what=__doc__.splitlines()[0], plans=found, versions=describe_run()["versions"]), p.parse_args().out)
    for x in found: print(f"{x['preset']:<8} {x['parameters']/1e6:>8,.1f} M  {x['trained']/1e6:>8,.1f} M trained  {x['total_gb']:>6.1f} GB  {x['hours']}  {x['how']}")
