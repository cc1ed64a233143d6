"""The arguments of the commands, in groups that several commands share."""
