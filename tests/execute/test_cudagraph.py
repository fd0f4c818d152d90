"""The executor for a GPU without one; what it gives is in tests/gpu."""

import pytest
import torch

import adjoint as ad


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without a GPU')
def test_without_a_gpu_it_says_so() -> None:
    x = ad.Variable('x')
    evaluator = ad.Evaluator([x * 2], executor='cudagraph')
    evaluator.run({x: torch.ones(2)})  # the reference's: seen once
    with pytest.raises(ad.TensorTypeError, match=r"^no CUDA device: executor='cudagraph' runs on a GPU only"):
        evaluator.run({x: torch.ones(2)})
