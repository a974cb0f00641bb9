"""Coverage-guided fuzzing of every reader: `make fuzz`. Needs atheris, which nothing else needs."""
