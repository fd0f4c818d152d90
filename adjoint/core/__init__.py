"""The graph itself: nodes, ops, types, source lines, errors and order. Knows no particular op."""
