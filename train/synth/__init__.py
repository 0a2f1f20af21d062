"""Street scenes rendered on demand: exact pictures of one place at any time of day, with the truth.

    plan     what stands in a scene, drawn from its seed (no Blender)
    light    what the sky and the lamps do at a time of day
    classes  the ids of the ground truth
    blender  builds a plan and renders its layers; runs in Blender's Python, as a process of its own
    darkroom makes pictures and ground truth from the layers, as a camera would
    render   the command: workers, progress, resuming

Blender's module is GPL and is imported by `blender` alone, which nothing else imports.
"""
