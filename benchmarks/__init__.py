"""Speed and memory, measured beside PyTorch and plain Keras. Nothing here is a test."""
