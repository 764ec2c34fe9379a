"""Synthetic atlases for the benchmarks."""
