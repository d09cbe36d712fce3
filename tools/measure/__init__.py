"""What the program and tracing cost, and what is lost under faults and load."""
