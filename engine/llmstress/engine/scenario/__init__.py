"""Users in Python: what a scenario file says, and what its users see of their requests. Its door is
`llmstress.scenario`.

Nothing here opens connections or decides when a request begins: `load/scripted.py` does.
"""
