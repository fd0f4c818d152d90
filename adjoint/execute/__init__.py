"""Running graphs on tensors."""
