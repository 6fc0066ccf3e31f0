"""What a run leaves behind: identity, write, read, merge. The only room that knows a run folder."""
