"""Planners: functions that know a cost, never a model class."""
