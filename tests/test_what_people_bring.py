"Situations that people reported: read right, or refused in one line with exit status 2 and nothing written"
import gzip, json, pytest

def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path

def pairs(n, start=0): return [dict(prompt=f"Question {i}?", chosen=f"Good answer {i}.", rejected=f"Bad answer {i}.") for i in range(start, start + n)]

def refused(run, *said):
    rc, _, err = run
    assert rc == 2 and err.count("\n") == 1 and all(x in err for x in said), err

@pytest.mark.parametrize("command", ["rankings", "train", "evaluate", "score"])
def test_a_folder_with_several_splits_is_asked_about_and_split_chooses(mnreward, tmp_path, reward_model, decoder, command):
    for name in "train", "test": lines(tmp_path/f"d/data/{name}-00000-of-00001.jsonl", pairs(12, 100*len(name)))
    more = dict(train=["--model", decoder, "--output_dir", tmp_path/"out", "--max_steps", 1, "--disable_tqdm", "True", "--use_cpu"], rankings=["--out", tmp_path/"out.json"],
                evaluate=["--model", reward_model, "--output_dir", tmp_path/"out"], score=["--model", reward_model, "--out", tmp_path/"out.jsonl"])[command]
    refused(mnreward(command, tmp_path/"d", *more), "has the splits test, train", "--split")
    assert not [*tmp_path.glob("out*")]
    refused(mnreward(command, tmp_path/"d", *more, "--split", "tra"), "no file of split 'tra'", "test, train")
    rc, text, err = mnreward(command, tmp_path/"d", *more, "--split", "train")
    assert rc == 0, err
    if command == "train":
        data = json.loads((tmp_path/"out/metrics.json").read_text())["data"]
        assert data["rows read"] == 12 and "12  rows read" in text

def test_eval_split_is_held_out(mnreward, tmp_path, decoder):
    for name in "train", "test": lines(tmp_path/f"d/{name}.jsonl", pairs(12, 100*len(name)))
    rc, _, err = mnreward("train", tmp_path/"d", "--split", "train", "--eval_split", "test", "--model", decoder, "--output_dir", tmp_path/"out", "--max_steps", 1, "--disable_tqdm", "True", "--use_cpu")
    assert rc == 0, err
    found = json.loads((tmp_path/"out/metrics.json").read_text())
    assert (found["training_rows"], found["validation_rows"], found["data"]["validation: rows read"]) == (12, 12, 12)

def test_a_prompt_that_stands_again_in_both_answers_is_read_once(mnreward, tmp_path):
    rows = [dict(prompt=f"What is the capital of land {i}?", chosen=f"What is the capital of land {i}? It is A.", rejected=f"What is the capital of land {i}? It is B.") for i in range(3)]
    assert mnreward("rankings", lines(tmp_path/"a.jsonl", rows), "--out", tmp_path/"o.json")[0] == 0
    assert json.loads((tmp_path/"o.json").read_text())[0]["ranked_outputs"] == [" It is A.", " It is B."]

@pytest.mark.parametrize("row, said", [
    (dict(ranked_outputs=["bad", "good"], scores=[2, 9]), "scores"), (dict(ranked_outputs=["a", "b"], rank=[1, 0]), "did you mean `ranks`"),
    (dict(ranked_outputs=["a", "b"], score=[1, 0]), "did you mean `scores`"), (dict(ranked_outputs=["a", "b"], ratings=[1, 0]), "did you mean `scores`"),
    (dict(ranked_outputs=["a", "b"], weights=2), "did you mean `weight`"), (dict(ranked_outputs=["a", "b"], ranks=[0, 1], scores=[1, 2]), "contradict the ranks"),
    (dict(chosen="a", rejected="b", score_chosen=2, score_rejected=7), "contradicts the names")])
def test_what_the_data_say_twice_must_agree_and_near_names_are_asked_about(mnreward, tmp_path, row, said):
    refused(mnreward("rankings", lines(tmp_path/"a.jsonl", [dict(prompt="Q?", **row)]), "--out", tmp_path/"o.json"), "row 1", said)
    assert not (tmp_path/"o.json").exists()

def test_a_name_that_occurs_twice_is_refused_in_every_format(mnreward, tmp_path):
    (tmp_path/"a.jsonl").write_text('{"prompt": "Q?", "chosen": "a", "rejected": "b", "chosen": "c"}\n')
    (tmp_path/"a.csv").write_text("prompt,chosen,rejected,chosen\nQ?,a,b,c\n")
    for name in "a.jsonl", "a.csv": refused(mnreward("rankings", tmp_path/name), "chosen", "twice")

def test_dialogues_in_one_text_give_their_prompt_or_the_place_where_they_part(mnreward, tmp_path):
    start = "\n\nHuman: Hello?\n\nAssistant: Hi.\n\nHuman: And now?"
    good = dict(chosen=f"{start}\n\nAssistant: Rest.", rejected=f"{start}\n\nAssistant: Go.")
    assert mnreward("rankings", lines(tmp_path/"a.jsonl", [good]), "--out", tmp_path/"o.json")[0] == 0
    row, = json.loads((tmp_path/"o.json").read_text())
    assert row["prompt"] == f"{start}\n\nAssistant:" and row["ranked_outputs"] == [" Rest.", " Go."]
    refused(mnreward("rankings", lines(tmp_path/"b.jsonl", [dict(good, rejected=good["rejected"].replace("Hi.", "Ho."))])), "row 1", "turn 2", "not its last")

def test_lists_that_were_printed_as_python_text_are_read_or_refused(mnreward, tmp_path):
    (tmp_path/"a.csv").write_text("prompt,ranked_outputs\nQ?,\"['good', 'bad']\"\n")
    assert mnreward("rankings", tmp_path/"a.csv", "--out", tmp_path/"o.json")[0] == 0
    assert json.loads((tmp_path/"o.json").read_text())[0]["ranked_outputs"] == ["good", "bad"]
    (tmp_path/"b.csv").write_text("prompt,chosen,rejected\nQ?,\"[{'role': 'assistant', 'content': 'good'}\",\"[{'role': 'assistant'\"\n")
    refused(mnreward("rankings", tmp_path/"b.csv"), "row 1")

def train(mnreward, file, model, out, *more): return mnreward("train", file, "--model", model, "--output_dir", out, "--disable_tqdm", "True", "--use_cpu", *more)

def test_tokens_beyond_the_embeddings_stop_training_before_it_begins(mnreward, tmp_path, rankings, decoder):
    import transformers
    model, tok = transformers.AutoModelForCausalLM.from_pretrained(decoder), transformers.AutoTokenizer.from_pretrained(decoder)
    model.resize_token_embeddings(len(tok))
    tok.add_special_tokens(dict(pad_token="[PAD]"))
    for part in model, tok: part.save_pretrained(tmp_path/"m")
    refused(train(mnreward, rankings, tmp_path/"m", tmp_path/"out"), f"embeddings for {len(tok) - 1}", "resize_token_embeddings")
    assert not (tmp_path/"out/model.safetensors").exists()

def test_a_vocabulary_that_cannot_tell_completions_apart_is_named_before_training(mnreward, tmp_path, backbone):
    rows = [dict(prompt=f"{i}", ranked_outputs=["你好" + "好"*i, "谢谢" + "谢"*i]) for i in range(12)]
    refused(train(mnreward, lines(tmp_path/"a.jsonl", rows), backbone, tmp_path/"out"), "equal tokens", "unknown")
    assert not (tmp_path/"out").exists()

def test_rewards_within_rounding_are_a_tie():
    from mnreward.evaluation import evaluate
    rows = [dict(prompt=str(n), ranked_outputs=["a", "b"]) for n in range(4)]
    assert evaluate(rows, [[1.0, 1.0 + 1e-7]]*4, n_boot=0)["accuracy"]["value"] == 0.5
    assert evaluate(rows, [[1.0, 1.0 + 1e-5]]*4, n_boot=0)["accuracy"]["value"] == 0

def test_columns_that_do_not_concern_us_hold_what_they_like_and_survive(mnreward, tmp_path, reward_model):
    import datetime, decimal, pyarrow as pa, pyarrow.parquet as pq
    rows = [dict(r, date=datetime.datetime(2026, 1, n + 1), price=decimal.Decimal("1.5"), blob=b"\x00", nan=float("nan"), tools="none", text=None) for n, r in enumerate(pairs(3))]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path/"a.parquet")
    assert mnreward("rankings", tmp_path/"a.parquet", "--out", tmp_path/"o.json")[0] == 0
    assert mnreward("score", tmp_path/"a.parquet", "--model", reward_model, "--out", tmp_path/"s.jsonl")[0] == 0
    for row in json.loads((tmp_path/"o.json").read_text())[0], json.loads((tmp_path/"s.jsonl").read_text().splitlines()[0]):
        assert row["date"].startswith("2026-01-01") and row["price"] == 1.5

def test_files_as_windows_and_spreadsheets_save_them(mnreward, tmp_path):
    text = "prompt,chosen,rejected\nWo?,Köln – schön,Öde\n"
    (tmp_path/"utf16.csv").write_text(text, encoding="utf-16")
    (tmp_path/"bom.csv").write_text(text.replace(",", ";"), encoding="utf-8-sig")
    for name in "utf16", "bom":
        assert mnreward("rankings", tmp_path/f"{name}.csv", "--out", tmp_path/f"{name}.json")[0] == 0
        assert json.loads((tmp_path/f"{name}.json").read_text())[0]["ranked_outputs"] == ["Köln – schön", "Öde"]
    (tmp_path/"cp.csv").write_text(text, encoding="cp1252")
    refused(mnreward("rankings", tmp_path/"cp.csv"), "cp1252")

def test_a_model_that_answered_nothing_is_scored_and_costs_one_completion_in_training(mnreward, tmp_path, reward_model):
    rows = [dict(prompt="Q?", ranked_outputs=["good", "fair", ""]), dict(prompt="R?", ranked_outputs=["good", "bad"])]
    assert mnreward("score", lines(tmp_path/"a.jsonl", rows), "--model", reward_model, "--out", tmp_path/"s.jsonl")[0] == 0
    assert [len(json.loads(x)["rewards"]) for x in (tmp_path/"s.jsonl").read_text().splitlines()] == [3, 2]
    rc, text, _ = mnreward("rankings", tmp_path/"a.jsonl", "--out", tmp_path/"o.json")
    assert rc == 0 and "1  completions dropped: empty" in text
    assert [r["ranked_outputs"] for r in json.loads((tmp_path/"o.json").read_text())] == [["good", "fair"], ["good", "bad"]]

def test_pairs_of_one_prompt_become_a_ranking_again_on_request(mnreward, tmp_path):
    rows = [dict(prompt="R?", chosen="x", rejected="y"), *[dict(prompt="Q?", chosen=a, rejected=b) for a, b in (("a", "b"), ("b", "c"), ("a", "c"))]]
    rc, text, _ = mnreward("rankings", lines(tmp_path/"a.jsonl", rows))
    assert rc == 0 and "3  rows that share their prompt" in text
    assert mnreward("rankings", tmp_path/"a.jsonl", "--gather", "--out", tmp_path/"o.json")[0] == 0
    _, row = json.loads((tmp_path/"o.json").read_text())
    assert sorted(row["ranked_outputs"]) == ["a", "b", "c"]

def test_one_prompt_for_all_rows_is_held_out_by_ranking_and_an_empty_one_is_explained(mnreward, tmp_path, decoder):
    rows = [dict(r, prompt="Say something.") for r in pairs(12)]
    rc, text, err = train(mnreward, lines(tmp_path/"a.jsonl", rows), decoder, tmp_path/"out", "--max_steps", 1, "--eval_fraction", 0.25)
    assert rc == 0 and "held out by ranking: one prompt" in text, err
    assert json.loads((tmp_path/"out/metrics.json").read_text())["validation_rows"] == 3
    refused(mnreward("rankings", lines(tmp_path/"b.jsonl", [dict(r, prompt="") for r in rows])), "one word for all rankings")

@pytest.mark.parametrize("more, said", [
    (["--max_steps", 0], "max_steps is 0"), (["--num_train_epochs", -1], "num_train_epochs is -1"), (["--learning_rate", "nan"], "learning_rate is nan"),
    (["--dataloader_drop_last", "True", "--per_device_train_batch_size", 128, "--prompts_per_step", 128], "fewer than a batch of 128")])
def test_options_under_which_nothing_would_be_trained_are_refused(mnreward, tmp_path, rankings, backbone, more, said):
    refused(train(mnreward, rankings, backbone, tmp_path/"out", *more), said)
    assert not (tmp_path/"out/model.safetensors").exists()

def test_completions_that_are_too_long_are_one_message_with_their_number(mnreward, tmp_path, decoder):
    rows = [*pairs(8), *[dict(prompt=f"L{n}", chosen="word "*90, rejected="no") for n in range(3)]]
    refused(train(mnreward, lines(tmp_path/"a.jsonl", rows), decoder, tmp_path/"out", "--max_length", 40), "and so it is with", "drop_too_long")
    rc, text, err = train(mnreward, tmp_path/"a.jsonl", decoder, tmp_path/"out", "--max_length", 40, "--drop_too_long", "--max_steps", 1)
    assert rc == 0 and "rows left out: a completion leaves no room" in text, err

def test_best_of_four_with_subsets_gives_the_number_that_people_report(mnreward, tmp_path, reward_model):
    rows = [dict(prompt=f"Q{n}?", chosen=[f"right {n}"], rejected=[f"wrong {n} {k}" for k in "abc"], subset=("Math", "Focus")[n % 2], level=n % 3) for n in range(12)]
    rc, text, err = mnreward("evaluate", lines(tmp_path/"a.jsonl", rows), "--model", reward_model, "--output_dir", tmp_path/"e", "--groups", "level")
    assert rc == 0 and "best of K, Math" in text and "best of K, mean of subsets" in text and "accuracy, level 2" in text, err
    found = json.loads((tmp_path/"e/evaluation.json").read_text())["evaluation"]
    assert found["best_of_k"]["n"] == 12 and found["judgements"] == 36
    means = [found["best_of_k_by_subset"][x]["value"] for x in ("Math", "Focus")]
    assert found["subset_means"]["mean"] == pytest.approx(sum(means)/2)
    refused(mnreward("evaluate", tmp_path/"a.jsonl", "--model", reward_model, "--output_dir", tmp_path/"f", "--groups", "colour"), "'colour'")

def test_several_files_patterns_archives_and_tables_in_memory(mnreward, tmp_path):
    from mnreward.files import load_rankings
    for n in range(3): lines(tmp_path/f"part-{n}.jsonl", pairs(2, 10*n))
    (tmp_path/"g.jsonl.gz").write_bytes(gzip.compress((tmp_path/"part-0.jsonl").read_bytes()))
    assert len(load_rankings(tmp_path/"part-*.jsonl")) == len(load_rankings([tmp_path/f"part-{n}.jsonl" for n in range(3)])) == 6
    columns = {name: [r[name] for r in pairs(2)] for name in pairs(1)[0]}
    assert load_rankings(tmp_path/"g.jsonl.gz") == load_rankings(columns) == load_rankings(tmp_path/"part-0.jsonl")
    rc, text, _ = mnreward("rankings", tmp_path/"part-0.jsonl", tmp_path/"part-1.jsonl", "--out", tmp_path/"o.json")
    assert rc == 0 and len(json.loads((tmp_path/"o.json").read_text())) == 4

def test_an_unknown_layout_names_its_columns_and_the_nearest_and_columns_maps_it(mnreward, tmp_path):
    rows = [dict(question="Q?", good="yes", poor="no")]
    refused(mnreward("rankings", lines(tmp_path/"a.jsonl", rows)), "question", "good", "poor", "--columns")
    assert mnreward("rankings", tmp_path/"a.jsonl", "--columns", "prompt=question,chosen=good,rejected=poor", "--out", tmp_path/"o.json")[0] == 0
    assert json.loads((tmp_path/"o.json").read_text())[0]["ranked_outputs"] == ["yes", "no"]

def test_the_log_and_the_end_are_sentences(mnreward, tmp_path, rankings, backbone):
    rc, text, err = train(mnreward, rankings, backbone, tmp_path/"out", "--max_steps", 2, "--logging_steps", 1, "--eval_steps", 1, "--save_steps", 1)
    assert rc == 0, err
    assert "{'" not in text and "step 1 of 2: loss 0." in text and "step 2 of 2: held out: accuracy" in text, text
    assert "The model agrees with" in text and "always taking the longer completion agrees with" in text

def test_an_evaluation_file_of_its_own_is_read_the_same_way_and_its_prompts_are_left_out(mnreward, tmp_path, decoder):
    lines(tmp_path/"t.jsonl", pairs(12)); lines(tmp_path/"e.jsonl", pairs(5, 10))
    rc, text, err = train(mnreward, tmp_path/"t.jsonl", decoder, tmp_path/"out", "--eval_data", tmp_path/"e.jsonl", "--max_steps", 1)
    assert rc == 0 and "2  training rows left out: prompt is in eval_data" in text, err

def test_a_training_that_diverges_stops_with_its_step_and_saves_nothing(mnreward, tmp_path, rankings, decoder):
    refused(train(mnreward, rankings, decoder, tmp_path/"out", "--learning_rate", 1e30, "--max_grad_norm", 0, "--prompts_per_step", 8, "--lr_scheduler_type", "constant"),
            "step ", "training stopped", "learning_rate below 1e+30")
    assert not (tmp_path/"out/model.safetensors").exists()

def test_a_model_without_numbers_scores_and_evaluates_nothing(mnreward, tmp_path, reward_model, rankings):
    from mnreward.model import Model
    model = Model.from_pretrained(reward_model)
    model.head.weight.data[0, 0] = float("nan")
    model.save_pretrained(tmp_path/"nan")
    refused(mnreward("score", rankings, "--model", tmp_path/"nan", "--out", tmp_path/"s.jsonl"), "no numbers")
    refused(mnreward("evaluate", rankings, "--model", tmp_path/"nan", "--output_dir", tmp_path/"e"), "no numbers")
    assert not (tmp_path/"s.jsonl").exists() and not (tmp_path/"e").exists()
