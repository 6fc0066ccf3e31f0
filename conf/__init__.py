"""Hydra's groups, and the torch-free code that composes and validates a run's configuration."""
