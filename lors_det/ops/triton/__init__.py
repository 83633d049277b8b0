"""Fused kernels. Imported by ``ops.dispatch`` alone, and only where Triton is installed."""
