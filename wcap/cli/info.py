"""Being written."""


def info() -> None:
    """Being written."""
