"""What a run needs beside its data, net and optimizer: streams, schedule, budget, precision, distribution."""
