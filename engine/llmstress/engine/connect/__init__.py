"""Opening connections, classes of connect errors, facts about open connections, the event loop."""
