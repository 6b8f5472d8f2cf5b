"""Drawings of genotypes, predictions and training curves."""
