"""Tensors on "cuda" without a device: torch's fake tensors, which have no values, so that reading one raises."""

from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

READS = (DataDependentOutputException, DynamicOutputShapeException)  # .item() and bool(); boolean indexing

__all__ = ["READS", "FakeTensorMode"]
