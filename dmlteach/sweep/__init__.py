"""Sweeps: many trainings of one plan, in processes of their own, with an index of what has become of each."""
