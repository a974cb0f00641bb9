"""Being written."""


def stats() -> None:
    """Being written."""
