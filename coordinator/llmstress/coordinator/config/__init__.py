"""The options of a run: one frozen, validated struct, and the parsers for the texts of flags."""
