"""Row-parallel kernels, run-length encoding, dense layers, scratch arrays, memory limits."""
