"""Being written."""


def show() -> None:
    """Being written."""
