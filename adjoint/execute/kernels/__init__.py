"""How ops are written in a program over torch kernels: one file a family; ops themselves name no backend."""
