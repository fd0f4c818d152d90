"""Gradient descent: update rules, schedules, models, data, the loop and its run folders."""
