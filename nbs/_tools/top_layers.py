"""Fine-tuning on two CPU cores: the lower blocks of a backbone are frozen and run once, their states are kept, and the top blocks with the head are trained on them.

Exact: a reward is what `mnreward.Model` computes with the same weights (a test). The last block is computed only where a reward is read. Decoders encode each prompt once (`mnreward.sharing.visible`). Used by overfitting.py and tldr_small.py.
"""
import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from mnreward.listwise import LOSSES
from mnreward.model import RewardHead
from mnreward.sharing import additive_mask, visible

class Stored(NamedTuple):
    "One ranking: states below the top blocks. A decoder's prompt stands apart; an encoder's is part of each completion (and `prompt` is empty)"
    prompt: torch.Tensor      # (P, d)
    completions: list         # K tensors (C_k, d)
    wins: np.ndarray          # (K, K)
    row: int                  # of the list of rankings

class Example(NamedTuple):
    "What one slot of a batch holds: some completions of a ranking, who beat whom among them, and the importance"
    item: Stored
    chosen: tuple
    wins: np.ndarray          # (k, k)
    weight: float = 1.0

def whole(item): return Example(item, tuple(range(len(item.completions))), item.wins)

def pairs(item):
    "One example for each judged pair, the winner first"
    return [Example(item, (i, j), np.array([[0, 1], [0, 0]], np.float32), float(item.wins[i, j])) for i, j in zip(*np.nonzero(item.wins))]

def blocks(backbone): return backbone.encoder.layer if hasattr(backbone, "encoder") else backbone.layers

def lay(examples):
    "Rows of states (R, L, d), segments (R, L, 2), positions (R, L), and for each of N completions its row, its last place, and its slot in (B, Kmax)"
    rows, at, kmax = [], [], max(len(e.chosen) for e in examples)
    for b, e in enumerate(examples):
        P = len(e.item.prompt)
        if P: rows.append([(e.item.prompt, 0, 0)])
        for slot, k in enumerate(e.chosen):
            y = e.item.completions[k]
            if P: rows[-1].append((y, slot+1, P))
            else: rows.append([(y, 0, 0)])
            at.append((len(rows)-1, sum(len(part[0]) for part in rows[-1])-1, b*kmax+slot))
    h = nn.utils.rnn.pad_sequence([torch.cat([y for y, _, _ in row]) for row in rows], batch_first=True)
    segments, positions = torch.zeros(*h.shape[:2], 2, dtype=torch.long), torch.zeros(h.shape[:2], dtype=torch.long)
    for r, row in enumerate(rows):
        segment = torch.cat([torch.tensor([[1, part]]).expand(len(y), 2) for y, part, _ in row])
        segments[r, :len(segment)] = segment
        positions[r, :len(segment)] = torch.cat([torch.arange(start, start+len(y)) for y, _, start in row])
    return h, segments, positions, torch.tensor(at), kmax

def heads(x, size): return x.unflatten(-1, (-1, size)).transpose(-3, -2)  # (..., n, heads*size) -> (..., heads, n, size)

def turned(x, rope):
    "Rotary positions: x (R, heads, n, size), rope of (R, n, size)"
    a, b = x.chunk(2, -1)
    return x*rope[0][:, None]+torch.cat((-b, a), -1)*rope[1][:, None]

def attended(q, k, v, mask): return F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=q.shape[1] != k.shape[1]).transpose(1, 2).flatten(2)

def last_bert(layer, h, at, mask, rope, at_rope):
    "BertLayer at the places `at` (R, E) alone. Keys and values of the other places are never made: q.(W x) = (W'q).x, and a mean of W x is W times a mean of x; the keys' bias cancels in the softmax"
    s, x = layer.attention.self, h.gather(1, at[..., None].expand(-1, -1, h.shape[-1]))
    size, (R, E, d) = s.attention_head_size, x.shape
    q = s.query(x).view(R*E, -1, size).transpose(0, 1) @ s.key.weight.view(-1, size, d)  # (heads, R*E, d)
    q = q.view(-1, R, E, d).transpose(0, 1).flatten(1, 2)  # (R, heads*E, d)
    scores = (q @ h.transpose(1, 2).to(q.dtype)).view(R, -1, E, h.shape[1]).float()/size**0.5+mask
    mean = torch.softmax(scores, -1).flatten(1, 2).to(q.dtype) @ h.to(q.dtype)  # (R, heads*E, d)
    mean = mean.view(R, -1, E, d).transpose(0, 1).flatten(1, 2)  # (heads, R*E, d)
    v = mean @ s.value.weight.view(-1, size, d).transpose(1, 2)+s.value.bias.view(-1, 1, size)  # (heads, R*E, size)
    v = v.view(-1, R, E, size).permute(1, 2, 0, 3)
    a = layer.attention.output(v.flatten(2), x)
    return layer.output(layer.intermediate(a), a)

def last_llama(layer, h, at, mask, rope, at_rope):
    "LlamaDecoderLayer at the places `at` (R, E) alone"
    s, x, n = layer.self_attn, h.gather(1, at[..., None].expand(-1, -1, h.shape[-1])), layer.input_layernorm(h)
    q, k, v = (heads(f(y), s.head_dim) for f, y in ((s.q_proj, n.gather(1, at[..., None].expand(-1, -1, h.shape[-1]))), (s.k_proj, n), (s.v_proj, n)))
    x = x+s.o_proj(attended(turned(q, at_rope), turned(k, rope), v, mask))
    return x+layer.mlp(layer.post_attention_layernorm(x))

class Top(nn.Module):
    "The last `n` blocks of a backbone (a copy) and a new head"
    def __init__(self, backbone, n, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.causal = not hasattr(backbone, "encoder")
        self.blocks = copy.deepcopy(blocks(backbone)[-n:]).train()
        for m in self.blocks.modules():
            if isinstance(m, nn.Dropout): m.p = 0.0
        self.norm = copy.deepcopy(backbone.norm) if self.causal else nn.Identity()
        self.rope = [backbone.rotary_emb] if self.causal else []  # in a list: it is no part of what is trained
        self.head = RewardHead(backbone.config.hidden_size)

    def mask(self, segments, dtype, where=None):
        "Of all places, or of the places `where` (R, E) alone: (R, 1, L or E or 1, L)"
        if not self.causal: return additive_mask(segments[:, None, :, 0] > 0, dtype)  # a row is one sequence
        if where is None: return additive_mask(visible(segments, segments, True), dtype)
        queries = segments.gather(1, where[..., None].expand(-1, -1, 2))
        return additive_mask(visible(queries, segments, False) & (torch.arange(segments.shape[1]) <= where[..., None]), dtype)

    def hidden(self, h, segments, positions, at):
        "Final states (N, d) at the places `at` (N, 3), in their order"
        R, order = len(h), at[:, 0]
        E = torch.bincount(order, minlength=R).max()
        nth = torch.cat([torch.arange(n) for n in torch.bincount(order, minlength=R).tolist()])  # places come row by row
        where = torch.zeros(R, E, dtype=torch.long).index_put((order, nth), at[:, 1])  # (R, E)
        rope = self.rope[0](h, positions) if self.causal else None
        for block in self.blocks[:-1]:
            out = block(h, attention_mask=self.mask(segments, h.dtype), **(dict(position_embeddings=rope) if self.causal else {}))
            h = out[0] if isinstance(out, tuple) else out
        at_mask = self.mask(segments, h.dtype, where)
        at_rope = [x.gather(1, where[..., None].expand(-1, -1, x.shape[-1])) for x in rope] if self.causal else None
        last = last_llama if self.causal else last_bert
        return self.norm(last(self.blocks[-1], h, where, at_mask, rope, at_rope))[order, nth]

    def forward(self, examples):
        "Rewards (B, Kmax) and wins (B, Kmax, Kmax)"
        h, segments, positions, at, kmax = lay(examples)
        r = self.head(self.hidden(h, segments, positions, at))
        rewards = torch.zeros(len(examples)*kmax).index_put((at[:, 2],), r).view(-1, kmax)
        wins = torch.zeros(len(examples), kmax, kmax)
        for b, e in enumerate(examples): wins[b, :len(e.chosen), :len(e.chosen)] = torch.tensor(e.wins)
        return rewards, wins

def tokens_of(examples): return sum(len(e.item.prompt)+sum(len(e.item.completions[k]) for k in e.chosen) for e in examples)

class Reached(Exception): "The first of the top blocks, with what it was given"

@torch.no_grad()
def stored(model, rows, n):
    "`Stored` of each ranking: the states that go into the last `n` blocks of a `mnreward.Model`"
    backbone, causal, found = model.backbone.eval(), not hasattr(model.backbone, "encoder"), []
    def stop(module, args, kwargs): raise Reached(args[0] if args else kwargs["hidden_states"])
    hook = blocks(backbone)[-n].register_forward_pre_hook(stop, with_kwargs=True)
    def below(batch):
        try: model.rewards(**batch)  # in the precision that the model is in
        except Reached as e: return e.args[0]
    items = model.tokenize(rows, training=False)
    collate = model.collator(items.max_ranks, layout="shared" if causal else "padded")
    if causal: collate.row_tokens, collate.width_cost = 10**6, 0.0  # one row for a ranking, however many its completions
    takes = "input_ids", "attention_mask", "token_type_ids", "segments", "position_ids", "ends", "rows"
    for item in (items[i] for i in range(len(items))):
        batch, P, C = collate([item]), len(item.prompt_ids), [len(c) for c in item.completion_ids]
        h = below({k: v for k, v in batch.items() if k in takes})
        if causal: prompt, *ys = h[0, :P+sum(C)].float().split([P, *C])
        else: prompt, ys = h[0, :0].float(), [h[k, :P+c].float().clone() for k, c in enumerate(C)]
        found.append(Stored(prompt, ys, item.wins.copy(), item.row))
    hook.remove()
    return found

@torch.no_grad()
def rewards(top, items, most=8192):
    "Rewards of every completion of every ranking, in order"
    found, batch = {}, []
    order = sorted(range(len(items)), key=lambda i: -max(map(len, items[i].completions)))
    for n, i in enumerate(order):
        batch.append(i)
        if tokens_of([whole(items[j]) for j in batch]) >= most or n == len(order)-1:
            r, _ = top([whole(items[j]) for j in batch])
            for b, j in enumerate(batch): found[j] = r[b, :len(items[j].completions)].tolist()
            batch = []
    return [found[i] for i in range(len(items))]

def batches(examples, size, seed, epoch):
    "Shuffled batches of one epoch, the last may be ragged"
    order = np.random.default_rng([seed, epoch]).permutation(len(examples))
    return [[examples[i] for i in order[at:at+size]] for at in range(0, len(order), size)]

def fit(top, examples, size, lr, epochs, seed, *, loss="kwise", reduction="mean", schedule="constant", bf16=False):
    "Train, yielding (step, tokens encoded so far) after every step"
    plan = [b for epoch in range(epochs) for b in batches(examples, size, seed, epoch)]
    optimizer = torch.optim.AdamW(top.parameters(), lr, weight_decay=0.0)
    from transformers import get_scheduler
    warmup = len(plan)//epochs//10+1  # the first rate of a warm-up is 0: a step before the first, so that no batch is lost
    scheduler = get_scheduler("constant_with_warmup" if schedule == "constant" else "cosine_with_min_lr", optimizer, warmup, len(plan)+1, **(
        {} if schedule == "constant" else dict(scheduler_specific_kwargs=dict(min_lr_rate=0.1))))
    optimizer.step()  # without gradients: it changes nothing
    scheduler.step()
    tokens = 0
    for step, batch in enumerate(plan, 1):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16): r, wins = top(batch)
        L = LOSSES[loss](r.float(), wins=wins, weight=torch.tensor([e.weight for e in batch]), reduction=reduction)
        optimizer.zero_grad()
        L.backward()
        nn.utils.clip_grad_norm_(top.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        tokens += tokens_of(batch)
        yield step, tokens
