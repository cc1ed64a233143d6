"""The APIs that the mock serves: parsing of requests, and encoding of answers, pings and errors. No HTTP, no I/O."""
