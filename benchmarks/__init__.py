"""Benchmarks: `dayshift bench`, the figures that dayshift states, measured on the machine at hand.

cases       what is measured: model, backend, precision, size, scenario
worker      the process of one row; opening, subjects, scenarios, pipelines, loops, eager, peaks
rounds      processes and what is said to them; session lets them take turns
rows        what is finally said about a case; statistics, likeness, energy, machine, roofline
suite       all of it together; crosscheck holds it against the engine's own benchmark
tables      the report in words; page and plots as HTML, comparison of two, readme's table
"""
