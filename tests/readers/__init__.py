"""What the program and its tools write, read by the real programs that it is written for. No cluster is needed."""
