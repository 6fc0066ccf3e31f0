"""The papers' analyses, one a file with `run(out, scale)`; `python -m probes NAME` runs one and prints its checks."""
