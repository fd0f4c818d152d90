"""Ops that hold a graph of their own: control flow, maps, recomputation, implicit functions."""
