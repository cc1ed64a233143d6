"""Files of prompts: where their rows stand, and the check before a run."""
