"""Makes the test vectors: pairs of bytes and what they mean, written from SPEC.md alone.

Nothing here imports wcap. A vector is made of facts (events, gaps, an end), which become bytes by
one way (`wire`, `columns`, `chunk`) and their meaning by another (`meaning`), so neither is what some
reader happened to make of the bytes. `valid`, `damaged` and `unsupported` hold the vectors, and
`table` lists which rule of SPEC.md each is about.
"""
