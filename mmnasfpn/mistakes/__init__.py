"""A look at a detector's mistakes: AP by class and size, confusions, what costs AP, the worst images."""
