"""Captures made of other captures: some of their events, with the proof of what is missing.

with wcap.open("run.wcap") as capture, open("errors.wcap", "xb") as target:
cut(capture, target, where=wcap.Filter(errors=True))
"""

from wcap.rewrite.cutting import Kept, cut
from wcap.rewrite.merging import Merged, merge
from wcap.rewrite.splitting import Share, shares, split_in_parts, split_side_by_side

__all__ = [
    "Kept",
    "Merged",
    "Share",
    "cut",
    "merge",
    "shares",
    "split_in_parts",
    "split_side_by_side",
]
