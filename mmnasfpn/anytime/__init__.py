"""Anytime detection: AP and latency of each exit, calibration, slim checkpoints."""
