"""Being written."""


def record() -> None:
    """Being written."""
