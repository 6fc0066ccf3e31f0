"""The papers' own analyses: `python -m reports analyse NAME`. Of reports/ these alone train nets."""
