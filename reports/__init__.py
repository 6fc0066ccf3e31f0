"""From a store of runs to tables, figures, statistics and verdicts: pure functions, no training."""
