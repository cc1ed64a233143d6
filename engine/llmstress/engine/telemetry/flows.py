"""Flows in the figures of a run."""

DURATION = "flow"
"""Name in `Part.aside`: how long a completed flow took (µs), from the moment at which its first request was due to the
end of its last one, waits between steps included. It is in the part of the first step's task number."""
