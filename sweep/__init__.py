"""From a table to its missing runs: plan, run, status, merge, verify, rerun, tune."""
