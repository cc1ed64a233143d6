"""Courses: runs whose load is decided while they go on, a sweep and the search for the capacity. Pure functions."""
