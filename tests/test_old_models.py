"Reward models that version 0.1 saved load, and give the rewards that it gave"
import json
from pathlib import Path
import pytest
from mnreward import Model

folder = Path(__file__).with_name("version_0_1")
stored = json.loads((folder/"rewards.json").read_text())

@pytest.mark.parametrize("name", stored["rewards"])
@pytest.mark.parametrize("share_prompt", ["auto", "no"])
def test_a_model_saved_by_version_0_1_gives_the_rewards_it_gave(name, share_prompt):
    found = Model.from_pretrained(folder/name).eval().score(stored["prompts"], stored["completions"], share_prompt=share_prompt)
    assert len(found) == len(stored["rewards"][name])
    for mine, theirs in zip(found, stored["rewards"][name]): assert mine == pytest.approx(theirs, abs=1e-5)
