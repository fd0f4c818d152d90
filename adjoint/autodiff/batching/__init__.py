"""Batching as a transform of graphs: a program on one example becomes one on a batch of them."""
