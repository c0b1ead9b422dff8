"Reward models from rankings of any length. Names load on first use, so `mnreward.loss` needs torch alone."
__version__ = "0.1.0"

_home = {
    "fit_bradley_terry": "preferences",
    "kwise_loss": "loss", "ranks_to_wins": "loss", "ranking_loss": "listwise",
    "load_rankings": "rankings", "write_rankings": "rankings",
    "create_comparison_dataset": "rankings", "comparisons_to_rankings": "rankings",
    "generate_rankings": "rankings", "split_by_prompt": "rankings", "DataError": "rankings",
    "load_reading": "rankings",
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
