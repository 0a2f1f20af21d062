"""Blender's half: builds a plan and renders its layers. Needs `bpy`; runs as its own process.

Metres; x to the right of the street, y along it, z up. Everything that is seen is an *entity* with
a class; the entity's number is its objects' pass index, and the index layer is the ground truth.
"""
