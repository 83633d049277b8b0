"""Fused kernels and their autograd functions. Imported in a call that may take them, where Triton is installed."""
