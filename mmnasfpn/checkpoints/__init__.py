"""Checkpoints: read safely, matched with a model, written whole or not at all."""
