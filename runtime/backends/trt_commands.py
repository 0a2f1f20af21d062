"""The command lines of NVIDIA's tools that build the same engine, for who wants to check ours."""

from __future__ import annotations

import shlex
from pathlib import Path

from dayshift.runtime.backends.base import BuildOptions
from dayshift.runtime.backends.shapes import Ranges


def trtexec_command(graph: Path, ranges: Ranges, options: BuildOptions, engine: Path) -> str:
    """Return the `trtexec` command.

    Args:
        graph: The ONNX file.
        ranges: Of the inputs whose height and width are free in the graph; no others.
        options: How to build.
        engine: What to write.
    """
    words = ["trtexec", f"--onnx={graph}", "--stronglyTyped", "--noTF32"]
    for option, end in (("minShapes", "smallest"), ("optShapes", "best"), ("maxShapes", "largest")):
        shapes = [
            f"{name}:{'x'.join(str(side) for side in getattr(item, end))}"
            for name, item in ranges.items()
        ]
        words += [f"--{option}={','.join(shapes)}"] if shapes else []
    words += [f"--builderOptimizationLevel={options.optimization_level}"]
    words += ["--hardwareCompatibilityLevel=ampere+"] if options.hardware_compatible else []
    words += ["--profilingVerbosity=detailed", f"--saveEngine={engine}", "--skipInference"]
    return shlex.join(words)


def polygraphy_command(graph: Path, ranges: Ranges, options: BuildOptions, engine: Path) -> str:
    """Return the `polygraphy` command; its TF32 is off unless asked for. Arguments as above."""
    words = ["polygraphy", "convert", str(graph), "--convert-to", "trt", "--strongly-typed"]
    for option, end in (("min", "smallest"), ("opt", "best"), ("max", "largest")):
        shapes = [
            f"{name}:[{','.join(str(side) for side in getattr(item, end))}]"
            for name, item in ranges.items()
        ]
        words += [f"--trt-{option}-shapes", *shapes] if shapes else []
    words += ["--builder-optimization-level", str(options.optimization_level)]
    words += (
        ["--hardware-compatibility-level", "ampere_plus"] if options.hardware_compatible else []
    )
    words += ["--profiling-verbosity", "detailed", "--output", str(engine)]
    return shlex.join(words)
