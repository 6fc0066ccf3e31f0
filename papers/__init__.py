"""What comes from the papers, as data: published numbers, tuned values, tables, claims; and their readers."""
