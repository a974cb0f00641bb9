"""What recording and reading cost, beside the tools that people would use instead.

`python -m benchmarks` compiles a writer, lets every recorder that this machine has record it in
turn, times the readers, and prints one table. docs/performance.md explains the figures.
"""
