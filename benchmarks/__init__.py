"""Benchmarks: the figures that dayshift states, measured on the machine at hand.

    python -m dayshift.benchmarks [--json FILE]

Run them on a quiet machine. Figures of different machines, or of one at different times, are not
comparable; what is compared is measured in turn, in one run.
"""
