"""Measurements: on real servers that sync to disk, checked row by row before a figure is believed."""
