"What is trained here loads in every tool, and what was trained elsewhere is scored here"
import json, shutil, subprocess, sys, pytest, torch
from pathlib import Path
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedTokenizerFast
from mnreward.model import Model

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
small = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
grouped = small | dict(num_key_value_heads=2)
FAMILIES = dict(
    llama=grouped, qwen2=grouped, qwen3=grouped | dict(head_dim=8), mistral=grouped, gemma2=grouped | dict(head_dim=8), phi3=grouped, gpt_neox=small,
    gpt2=dict(n_embd=32, n_layer=2, n_head=4, n_positions=512), opt=dict(hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=16, max_position_embeddings=512))
CHAT = [dict(role="user", content="What is quiet?")]
ANSWERS = ["a cat", "a dog that is loud", "nothing at all", "my cat sleeps"]

def byte_level(pad=None):
    from tokenizers import ByteLevelBPETokenizer
    t = ByteLevelBPETokenizer()
    t.train_from_iterator([*ANSWERS, "What is quiet?"], vocab_size=290, special_tokens=["<|im_end|>", "<|im_start|>", *([pad] if pad else [])], show_progress=False)
    tok = PreTrainedTokenizerFast(tokenizer_object=t._tokenizer, eos_token="<|im_end|>", **({"pad_token": pad} if pad else {}))
    tok.chat_template = CHATML
    return tok

def config_of(family, **more):
    tokens = dict(vocab_size=290, pad_token_id=0, bos_token_id=0, eos_token_id=0)
    return AutoConfig.for_model(family, **{**tokens, **FAMILIES[family], **more})

def made(family, tok=None):
    torch.manual_seed(0)
    model = Model(AutoModel.from_config(config_of(family)), tok or byte_level(), 4).eval()
    with torch.no_grad(): model.head.weight.normal_()
    return model

def written(tok): return [tok.apply_chat_template([*CHAT, dict(role="assistant", content=y)], tokenize=False) for y in ANSWERS]

def without_us(where, folders):
    "What a process that cannot import mnreward reads from folders: {folder: {way: rewards}}"
    run = subprocess.run([sys.executable, str(Path(__file__).parent/"without_us.py"), *(str(where/x) for x in folders)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])

def test_a_saved_decoder_gives_its_rewards_in_other_tools(tmp_path):
    "By its class with padding on either side, by the pipeline, as RewardBench loads it: every family, in one process without us"
    ours = {}
    for family in FAMILIES:
        model = made(family)
        model.save_pretrained(tmp_path/family)
        (tmp_path/family/"texts.json").write_text(json.dumps(written(model.tokenizer)))
        ours[family], = model.score([CHAT], [ANSWERS])
        assert max(ours[family]) - min(ours[family]) > 0.1
    for folder, theirs in without_us(tmp_path, FAMILIES).items():
        family = Path(folder).name
        assert {*theirs} == {"right", "left", "pipeline", "rewardbench"}
        for way, rewards in theirs.items(): assert rewards == pytest.approx(ours[family], abs=1e-5), (family, way)
        config, again = json.loads(Path(folder, "config.json").read_text()), Model.from_pretrained(folder)
        assert config["architectures"][0].endswith("ForSequenceClassification") and config["num_labels"] == 1 and config["id2label"] == {"0": "reward"}
        assert config["problem_type"] == "regression" and config["pad_token_id"] == again.tokenizer.pad_token_id != again.tokenizer.eos_token_id
        assert again.score([CHAT], [ANSWERS])[0] == ours[family]

def test_the_shift_and_the_settings_come_back(tmp_path):
    model = made("llama")
    model.config.tokens["max_length"] = 77
    model.shift_to_reference([CHAT], ["a cat"])
    model.save_pretrained(tmp_path)
    again = Model.from_pretrained(tmp_path)
    assert again.score([CHAT], ["a cat"])[0] == pytest.approx(0, abs=1e-6) and again.config.reward_shift == model.config.reward_shift
    assert again.config.tokens["max_length"] == 77 and again.config.max_ranks_per_batch == 4

@pytest.mark.parametrize("pad", ["<pad>", "<|im_end|>"], ids=["its own padding", "padded with the end"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
def test_a_reward_model_of_another_trainer_scores_as_its_class_does_and_trains_on(family, pad, tmp_path, mnreward):
    "Stand-ins for Skywork-Reward-V2 (Llama, Qwen3) and a checkpoint of TRL"
    tok = byte_level("<pad>" if pad == "<pad>" else None)
    tok.pad_token = pad
    torch.manual_seed(1)
    theirs = AutoModelForSequenceClassification.from_config(config_of(family, num_labels=1, pad_token_id=tok.pad_token_id)).eval()
    torch.nn.init.normal_(theirs.score.weight)
    theirs.save_pretrained(tmp_path/"m"); tok.save_pretrained(tmp_path/"m")
    plain = ["What is quiet? a cat<|im_end|>", "What is quiet? a dog<|im_end|>"]
    with torch.no_grad():
        own_chat, own_plain = ([theirs(**tok(t, return_tensors="pt")).logits[0, 0].item() for t in texts] for texts in (written(tok), plain))
    for model in Model.from_pretrained(tmp_path/"m").eval(), Model.from_backbone(tmp_path/"m").eval():
        assert model.score([CHAT], [ANSWERS])[0] == pytest.approx(own_chat, abs=1e-5)
        assert model.score(["What is quiet?"], [["a cat", "a dog"]])[0] == pytest.approx(own_plain, abs=1e-5)
    rows = [dict(prompt=f"What is quiet {n}?", ranked_outputs=ANSWERS) for n in range(12)]
    (tmp_path/"rows.json").write_text(json.dumps(rows))
    rc, text, err = mnreward("evaluate", tmp_path/"rows.json", "--model", tmp_path/"m", "--output_dir", tmp_path/"e")
    assert rc == 0, err
    rc, text, err = mnreward("train", tmp_path/"rows.json", "--model", tmp_path/"m", "--output_dir", tmp_path/"out", "--max_steps", 1, "--learning_rate", 1e-30, "--disable_tqdm", "True", "--use_cpu")
    assert rc == 0, err
    assert Model.from_pretrained(tmp_path/"out").eval().score([CHAT], [ANSWERS])[0] == pytest.approx(own_chat, abs=1e-5)

def test_a_checkpoint_of_training_is_a_reward_model_and_resuming_is_exact(tmp_path, mnreward):
    made("llama").save_pretrained(tmp_path/"m")
    (tmp_path/"rows.json").write_text(json.dumps([dict(prompt=f"What is quiet {n}?", ranked_outputs=ANSWERS) for n in range(12)]))
    go = lambda out, *more: mnreward("train", tmp_path/"rows.json", "--model", tmp_path/"m", "--output_dir", tmp_path/out, "--learning_rate", 1e-2, "--prompts_per_step", 4, "--save_steps", 1,
                                     "--eval_steps", 1, "--save_total_limit", 9, "--load_best_model_at_end", "False", "--disable_tqdm", "True", "--use_cpu", *more)
    assert go("a", "--num_train_epochs", 1)[0] == 0
    whole, part = (Model.from_pretrained(tmp_path/x).eval().score([CHAT], [ANSWERS])[0] for x in ("a", "a/checkpoint-1"))
    assert whole != part
    for checkpoint in (tmp_path/"a").glob("checkpoint-*"):
        if checkpoint.name != "checkpoint-1": shutil.rmtree(checkpoint)
    assert go("a", "--num_train_epochs", 1, "--resume_from_checkpoint", "True")[0] == 0
    assert Model.from_pretrained(tmp_path/"a").eval().score([CHAT], [ANSWERS])[0] == whole

def test_trl_takes_the_folder_as_its_reward(tmp_path):
    "Two steps of GRPO with a toy policy; the reward that TRL logs is ours"
    pytest.importorskip("trl")
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import GRPOConfig, GRPOTrainer
    model = made("llama")
    model.save_pretrained(tmp_path/"rm")
    policy_tok = byte_level("<pad>")
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config_of("llama", pad_token_id=policy_tok.pad_token_id)).save_pretrained(tmp_path/"policy")
    policy_tok.save_pretrained(tmp_path/"policy")
    args = GRPOConfig(str(tmp_path/"out"), max_steps=2, per_device_train_batch_size=4, num_generations=4, max_completion_length=8, use_cpu=True, report_to="none",
                      logging_steps=1, disable_tqdm=True, bf16=False, log_completions=False, save_strategy="no", seed=0)
    seen = []
    def same(prompts, completions, **kwargs):
        texts = [c if isinstance(c, str) else c[0]["content"] for c in completions]
        rewards = [model.score([p], [t])[0] for p, t in zip(prompts, texts)]
        seen.extend(rewards)
        return rewards
    trainer = GRPOTrainer(str(tmp_path/"policy"), [str(tmp_path/"rm"), same], args, train_dataset=Dataset.from_list([dict(prompt=CHAT)]*8))
    trainer.train()
    theirs = [x for h in trainer.state.log_history for k, x in h.items() if k.startswith("rewards/") and k.endswith("/mean")]
    assert len(seen) == 8 and len(theirs) == 4
    for a, b in zip(theirs[::2], theirs[1::2]): assert a == pytest.approx(b, abs=1e-4)

ENCODERS = {"bert": {}, "roberta": dict(type_vocab_size=1), "electra": dict(embedding_size=32), "deberta-v2": dict(position_buckets=16, relative_attention=True, pos_att_type=["p2c", "c2p"], norm_rel_ebd="layer_norm", type_vocab_size=0),
            "deberta": dict(relative_attention=True, pos_att_type=["p2c", "c2p"], type_vocab_size=0), "distilbert": None}

def pair_tokenizer():
    "As BERT's and DeBERTa's: [CLS] question [SEP] answer [SEP]"
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *sorted({w for t in [*ANSWERS, "What is quiet"] for w in t.split()}), "?"]
    t = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "[UNK]"))
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=t, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]", model_input_names=["input_ids", "token_type_ids", "attention_mask"])

@pytest.mark.parametrize("family", ENCODERS)
def test_an_encoder_with_one_label_is_taken_over_with_its_whole_classifier(family, tmp_path, mnreward):
    "A stand-in for OpenAssistant's DeBERTa: question and answer are a pair, the reward is its class's"
    tok, more = pair_tokenizer(), ENCODERS[family]
    sizes = dict(dim=32, n_layers=2, n_heads=4, hidden_dim=64) if more is None else dict(small, **more)
    torch.manual_seed(1)
    theirs = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(family, vocab_size=len(tok), num_labels=1, pad_token_id=0, max_position_embeddings=64, **sizes)).eval()
    with torch.no_grad():
        for p in theirs.parameters(): p.add_(torch.randn_like(p)*0.1)
    theirs.save_pretrained(tmp_path/"m"); tok.save_pretrained(tmp_path/"m")
    def own(model):
        found = []
        for y in ANSWERS:
            batch = tok("What is quiet ?", y, return_tensors="pt")
            if family in ("distilbert", "roberta"): batch.pop("token_type_ids")
            with torch.no_grad(): found.append(model(**batch).logits[0, 0].item())
        return found
    assert max(own(theirs)) - min(own(theirs)) > 1e-3
    for model in Model.from_pretrained(tmp_path/"m").eval(), Model.from_backbone(tmp_path/"m").eval():
        assert model.score(["What is quiet ?"], [ANSWERS])[0] == pytest.approx(own(theirs), abs=1e-5)
    (tmp_path/"rows.json").write_text(json.dumps([dict(prompt=f"What is quiet {n} ?", ranked_outputs=ANSWERS) for n in range(12)]))
    train = lambda out, rate, *more: mnreward("train", tmp_path/"rows.json", "--model", tmp_path/"m", "--output_dir", tmp_path/out, "--max_steps", 2, "--prompts_per_step", 4, "--save_steps", 1, "--eval_steps", 1,
                                              "--learning_rate", rate, "--disable_tqdm", "True", "--use_cpu", *more)
    for out, rate in ("same", 1e-30), ("other", 1e-2):
        rc, _, err = train(out, rate)
        assert rc == 0, err
    trained = [AutoModelForSequenceClassification.from_pretrained(tmp_path/x).eval() for x in ("same", "other")]
    assert own(trained[0]) == pytest.approx(own(theirs), abs=1e-5) and own(trained[1]) != pytest.approx(own(theirs), abs=1e-3)
    again = Model.from_pretrained(tmp_path/"other").eval().score(["What is quiet ?"], [ANSWERS])[0]
    assert again == pytest.approx(own(trained[1]), abs=1e-5)
    rc, _, err = mnreward("score", tmp_path/"rows.json", "--model", tmp_path/"m", "--out", tmp_path/"s.jsonl", "--share_prompt", "yes")
    assert rc == 2 and "taken over whole" in err, err

QUESTION = "What is quiet ?"

def bare(family, folder, **changes):
    "A folder with an untrained encoder, as a Hub repository has it"
    more = ENCODERS.get(family, {})
    sizes = dict(dim=32, n_layers=2, n_heads=4, hidden_dim=64) if more is None else dict(small, **more)
    tok = pair_tokenizer()
    torch.manual_seed(2)
    AutoModel.from_config(AutoConfig.for_model(family, vocab_size=len(tok), pad_token_id=0, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2, max_position_embeddings=64, **sizes, **changes)).save_pretrained(folder)
    if family in ("distilbert", "roberta", "modernbert"): tok.model_input_names = ["input_ids", "attention_mask"]
    tok.save_pretrained(folder)
    return folder

def shaken(model):
    "As if trained: every weight that training would move"
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad: p.add_(torch.randn_like(p)*0.1)
    return model

def test_a_new_encoder_gets_the_classifier_of_its_family_and_gives_its_rewards_in_other_tools(tmp_path):
    "By its class, the pipeline and sentence-transformers' CrossEncoder; the shift goes into its bias"
    pytest.importorskip("sentence_transformers")
    ours = {}
    for family in [*ENCODERS, "modernbert"]:
        model = shaken(Model.from_backbone(bare(family, tmp_path/f"{family}-bare")).eval())
        assert model.config.family == "classifier" and model.backbone.config.num_labels == 1
        model.shift_to_reference([QUESTION], [ANSWERS[0]])
        model.save_pretrained(tmp_path/family)
        (tmp_path/family/"texts.json").write_text(json.dumps([[QUESTION, y] for y in ANSWERS]))
        ours[family], = model.score([QUESTION], [ANSWERS])
        assert max(ours[family]) - min(ours[family]) > 1e-3 and abs(ours[family][0]) < 1e-6
        assert Model.from_pretrained(tmp_path/family).score([QUESTION], [ANSWERS])[0] == pytest.approx(ours[family], abs=1e-6)
    for folder, theirs in without_us(tmp_path, ours).items():
        assert {*theirs} == {"right", "crossencoder", "pipeline"}
        for way, rewards in theirs.items(): assert rewards == pytest.approx(ours[Path(folder).name], abs=1e-5), (folder, way)

def test_peft_loads_adapters_and_their_head_as_a_sequence_classifier(tmp_path):
    pytest.importorskip("peft")
    ours = {}
    for family in "llama", "qwen3", "gpt2", "bert", "roberta", "deberta-v2":
        base = tmp_path/f"{family}-base"
        if family in FAMILIES: AutoModel.from_config(config_of(family)).save_pretrained(base); byte_level().save_pretrained(base)
        else: bare(family, base)
        prompt = CHAT if family in FAMILIES else QUESTION
        model = shaken(Model.from_backbone(base).add_adapters(rank=2).eval())
        assert any("lora" in k for k, p in model.named_parameters() if p.requires_grad)
        model.save_pretrained(tmp_path/family)
        assert json.loads((tmp_path/family/"adapter_config.json").read_text())["task_type"] == "SEQ_CLS"
        (tmp_path/family/"texts.json").write_text(json.dumps(written(model.tokenizer) if family in FAMILIES else [[QUESTION, y] for y in ANSWERS]))
        ours[family], = model.score([prompt], [ANSWERS])
        again = Model.from_pretrained(tmp_path/family).eval()
        assert again.score([prompt], [ANSWERS])[0] == pytest.approx(ours[family], abs=1e-6)
        assert again.merge_adapters().score([prompt], [ANSWERS])[0] == pytest.approx(ours[family], abs=1e-5)
    for folder, theirs in without_us(tmp_path, ours).items(): assert theirs["peft"] == pytest.approx(ours[Path(folder).name], abs=1e-5), folder

def test_adapters_that_another_trainer_saved_score_and_train_on(tmp_path, mnreward):
    "As TRL's RewardTrainer with a peft config: task SEQ_CLS, the score beside the adapters"
    peft = pytest.importorskip("peft")
    tok = byte_level("<pad>")
    theirs = AutoModelForSequenceClassification.from_config(config_of("llama", num_labels=1, pad_token_id=tok.pad_token_id))
    theirs.base_model.save_pretrained(tmp_path/"base"); tok.save_pretrained(tmp_path/"base")
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path/"base", num_labels=1)
    theirs = shaken(peft.get_peft_model(theirs, peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules="all-linear", modules_to_save=["score"])).eval())
    theirs.save_pretrained(tmp_path/"m"); tok.save_pretrained(tmp_path/"m")
    with torch.no_grad(): own = [theirs(**tok(t, return_tensors="pt")).logits[0, 0].item() for t in written(tok)]
    assert Model.from_pretrained(tmp_path/"m").eval().score([CHAT], [ANSWERS])[0] == pytest.approx(own, abs=1e-5)
    (tmp_path/"rows.json").write_text(json.dumps([dict(prompt=f"What is quiet {n}?", ranked_outputs=ANSWERS) for n in range(12)]))
    rc, _, err = mnreward("train", tmp_path/"rows.json", "--model", tmp_path/"m", "--output_dir", tmp_path/"out", "--max_steps", 1, "--learning_rate", 1e-30, "--disable_tqdm", "True", "--use_cpu")
    assert rc == 0, err
    assert Model.from_pretrained(tmp_path/"out").eval().score([CHAT], [ANSWERS])[0] == pytest.approx(own, abs=1e-5)
    config = json.loads((tmp_path/"m/adapter_config.json").read_text())
    (tmp_path/"m/adapter_config.json").write_text(json.dumps(config | dict(task_type="CAUSAL_LM")))
    rc, _, err = mnreward("score", tmp_path/"rows.json", "--model", tmp_path/"m", "--out", tmp_path/"s.jsonl")
    assert rc == 2 and "adapter" in err and err.count("\n") == 1, err

@pytest.mark.parametrize("use_decoder", [False, True], ids=["encoder", "with its decoder"])
def test_a_t5_loads_with_the_code_that_its_folder_brings(use_decoder, rows, tmp_path):
    from transformers import T5Config, T5Model
    from mnreward.synthetic import small_t5
    texts = [r["prompt"] + y for r in rows for y in r["ranked_outputs"]]
    backbone, tok = small_t5(texts)
    if use_decoder:
        torch.manual_seed(0)
        backbone = T5Model(T5Config(**{**backbone.config.to_dict(), "decoder_start_token_id": 0, "is_encoder_decoder": True, "use_cache": False, "num_decoder_layers": 2}))
    model = shaken(Model(backbone, tok, use_decoder=use_decoder).eval())
    model.config.reward_shift = 0.25
    model.save_pretrained(tmp_path)
    r, items = rows[0], model.tokenize(rows[:1], training=False)
    ours, = model.score([r["prompt"]], [r["ranked_outputs"]])
    ids = [[*items[0].prompt_ids.tolist()], [y.tolist() for y in items[0].completion_ids]]
    (tmp_path/"texts.json").write_text(json.dumps([[ids[0], y] for y in ids[1]] if use_decoder else [tok.decode([*ids[0], *y], skip_special_tokens=True) for y in ids[1]]))
    if not use_decoder:  # the joined text gives the tokens that were joined
        assert [tok(t)["input_ids"] for t in json.loads((tmp_path/"texts.json").read_text())] == [[*ids[0], *y] for y in ids[1]]
    for way, rewards in without_us(tmp_path, [""])[f"{tmp_path}"].items(): assert rewards == pytest.approx(ours, abs=1e-5), way
    assert Model.from_pretrained(tmp_path).score([r["prompt"]], [r["ranked_outputs"]])[0] == pytest.approx(ours, abs=1e-6)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()  # importing us has registered its type
    assert type(again) is Model
    if not use_decoder:
        batch = tok([tok.decode([*ids[0], *y], skip_special_tokens=True) for y in ids[1]], return_tensors="pt", padding=True)
        with torch.no_grad(): assert again(**batch).logits[:, 0].tolist() == pytest.approx(ours, abs=1e-5)

def test_pickled_weights_load_as_tensors_and_a_pickle_that_runs_code_is_refused(tmp_path, mnreward):
    from safetensors.torch import load_file
    model = made("llama")
    model.save_pretrained(tmp_path/"m")
    torch.save(load_file(tmp_path/"m/model.safetensors"), tmp_path/"m/pytorch_model.bin")
    (tmp_path/"m/model.safetensors").unlink()
    assert Model.from_pretrained(tmp_path/"m").score([CHAT], [ANSWERS]) == model.score([CHAT], [ANSWERS])
    class Code:
        def __reduce__(self): return Path.touch, (tmp_path/"executed",)
    torch.save(dict(x=Code()), tmp_path/"m/pytorch_model.bin")
    (tmp_path/"rows.json").write_text(json.dumps([dict(prompt="What is quiet?", ranked_outputs=ANSWERS)]))
    rc, _, err = mnreward("score", tmp_path/"rows.json", "--model", tmp_path/"m", "--out", tmp_path/"s.jsonl")
    assert rc == 2 and "would run code" in err and err.count("\n") == 1 and not (tmp_path/"executed").exists(), err
