"""`train` under engines of accelerate, on this machine's CPU: engines.py OUT BACKBONE RANKINGS JOBS.json, a list of [name, engine, options]; engine: plain, fsdp2, zero2, zero3.

Trains into OUT/name; prints {name: dtypes of hidden states and head, or what was refused} as its last line."""
import json, sys
import torch.distributed as dist
from accelerate import DistributedType, PartialState
from mnreward import training
from mnreward.cli import leave_processes
from mnreward.model import RewardHead
from mnreward.rankings import DataError

out, backbone, rankings, jobs = sys.argv[1:]
plain = dict(max_steps=4, learning_rate=1e-2, prompts_per_step=8, per_device_train_batch_size=4, eval_steps=2, save_steps=2, logging_steps=1, seed=1, use_cpu=True, disable_tqdm=True, max_grad_norm=1.0)
arguments, forward, seen = training.training_arguments, RewardHead.forward, set()

def on_cpu(*args, **kwargs):
    "accelerate shards on accelerators only, by the name of the kind of processes; the work itself runs on CPUs too"
    made = arguments(*args, **kwargs)
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_NEURON
    return made

def watched(self, h):
    seen.add((str(h.dtype), str(self.weight.dtype)))
    return forward(self, h)
RewardHead.forward = watched

def of_engine(engine, options):
    if engine == "fsdp2":
        config = dict(version=2, auto_wrap_policy="TRANSFORMER_BASED_WRAP", transformer_layer_cls_to_wrap=["LlamaDecoderLayer"], state_dict_type="FULL_STATE_DICT", cpu_ram_efficient_loading=False)
        return plain | dict(fsdp=True, fsdp_config=config | options.pop("fsdp_config", {})) | options
    if engine.startswith("zero"):
        config = dict(train_micro_batch_size_per_gpu="auto", gradient_accumulation_steps="auto", gradient_clipping="auto", zero_allow_untested_optimizer=True, zero_force_ds_cpu_optimizer=False,
                      zero_optimization=dict(stage=int(engine[-1]), stage3_gather_16bit_weights_on_model_save=True))
        return plain | dict(deepspeed=config | options.pop("deepspeed", {})) | options
    return plain | options

found = {}
for name, engine, options in json.load(open(jobs)):
    seen.clear()
    training.training_arguments = on_cpu if engine == "fsdp2" else arguments
    if dist.is_initialized(): PartialState._shared_state["distributed_type"] = DistributedType.MULTI_CPU
    try: training.train(rankings, backbone, f"{out}/{name}", **of_engine(engine, options))
    except DataError as e: found[name] = str(e)
    else: found[name] = sorted(seen)
if dist.is_initialized(): dist.barrier()
if not dist.is_initialized() or not dist.get_rank(): print(json.dumps(found), flush=True)
leave_processes()
