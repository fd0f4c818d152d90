"""Passes: graphs that compute the same with fewer nodes, or closer to the true value. Nodes in, nodes out."""
