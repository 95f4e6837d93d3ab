"""The arithmetic of objectives as plain functions on tensors, each beside a by-hand version in the tests that it must equal."""
