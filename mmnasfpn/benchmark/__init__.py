"""Measuring models: their speed, and their AP over several seeds."""
