"""Networks: Flax Linen modules in NHWC with float32 parameters; `dtype` is the type they compute in."""
