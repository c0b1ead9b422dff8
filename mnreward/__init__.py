"Reward models from rankings of any length. Names load on first use, so `mnreward.loss` needs torch alone."
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:  # for editors and type checkers: a test holds that this agrees with _home
    from .preferences import fit_bradley_terry as fit_bradley_terry
    from .loss import kwise_loss as kwise_loss, ranks_to_wins as ranks_to_wins
    from .listwise import LOSSES as LOSSES
    from .rankings import (
        DataError as DataError,
        create_comparison_dataset as create_comparison_dataset,
        split_by_prompt as split_by_prompt,
    )
    from .judgements import comparisons_to_rankings as comparisons_to_rankings
    from .files import load_rankings as load_rankings, write_rankings as write_rankings
    from .synthetic import generate_rankings as generate_rankings, load_reading as load_reading
    from .tokens import RankingDataset as RankingDataset
    from .collate import DataCollator as DataCollator
    from .model import Model as Model, RewardConfig as RewardConfig
    from .evaluation import evaluate as evaluate, compare as compare
    from .training import train as train, RankingTrainer as RankingTrainer

_home = {
    "fit_bradley_terry": "preferences",
    "kwise_loss": "loss", "ranks_to_wins": "loss", "LOSSES": "listwise",
    "DataError": "rankings", "create_comparison_dataset": "rankings", "split_by_prompt": "rankings",
    "comparisons_to_rankings": "judgements",
    "load_rankings": "files", "write_rankings": "files",
    "generate_rankings": "synthetic", "load_reading": "synthetic",
    "RankingDataset": "tokens", "DataCollator": "collate",
    "Model": "model", "RewardConfig": "model",
    "evaluate": "evaluation", "compare": "evaluation",
    "train": "training", "RankingTrainer": "training",
}
__all__ = sorted(_home)

def __getattr__(name):
    if name not in _home: raise AttributeError(f"module 'mnreward' has no attribute {name!r}")
    from importlib import import_module
    return getattr(import_module(f"mnreward.{_home[name]}"), name)

def __dir__(): return sorted([*globals(), *_home])
