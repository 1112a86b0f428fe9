"""The command lines: flags, and what they call. TensorFlow is imported last."""
