"""The camera, the sky, and the rendering of one layer to a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import bpy

from dayshift.train.synth.blender.stage import Stage
from dayshift.train.synth.light import illumination

FAR_M = 1000.0


def set_up(stage: Stage, width: int, height: int, samples: int, threads: int) -> None:
    """Prepare camera and renderer. The sky is set by `set_light`."""
    _add_camera(stage, width)
    if stage.plan.camera.mount == "dashcam":
        _add_own_headlights(stage)
    scene = stage.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = samples
    scene.cycles.max_bounces = 3
    scene.cycles.sample_clamp_indirect = 4
    scene.cycles.use_light_tree = True
    scene.cycles.seed = stage.plan.seed % 2**31
    # To clean the denoiser's guides first takes two filters more, and shows on waves alone.
    waves = stage.plan.kind in ("bridge", "harbour")
    scene.cycles.denoising_prefilter = "ACCURATE" if waves else "FAST"
    _use_device(scene, threads)
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.film_transparent = False
    scene.render.use_persistent_data = True
    scene.render.image_settings.media_type = "MULTI_LAYER_IMAGE"
    scene.render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
    scene.render.image_settings.color_depth = "32"
    scene.render.image_settings.exr_codec = "ZIP"
    scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    # By itself it would evaluate an even dome half a million times to know where it is bright.
    scene.world.cycles.sampling_method = "MANUAL"
    scene.world.cycles.sample_map_resolution = 256


def _use_device(scene: Any, threads: int) -> None:
    """Render on CUDA or OptiX where Blender finds a device, else on `threads` cores."""
    scene.render.threads_mode = "FIXED"
    scene.render.threads = threads
    scene.cycles.device = "CPU"
    preferences = bpy.context.preferences.addons.get("cycles")
    if preferences is None:
        return
    for kind in ("OPTIX", "CUDA"):
        try:
            preferences.preferences.compute_device_type = kind
        except TypeError:  # this build of Blender does not have it
            continue
        devices = preferences.preferences.get_devices_for_type(kind)
        if devices:
            for device in devices:
                device.use = True
            scene.cycles.device = "GPU"
            return


def _add_camera(stage: Stage, width: int) -> None:
    plan = stage.plan.camera
    data = bpy.data.cameras.new("camera")
    data.sensor_width = 36.0
    data.angle = math.radians(plan.fov_deg)
    data.clip_end = FAR_M
    camera = bpy.data.objects.new("camera", data)
    camera.location = plan.position
    camera.rotation_euler = (
        math.radians(90 + plan.pitch_deg),
        math.radians(plan.roll_deg),
        math.radians(plan.yaw_deg),
    )
    stage.scene.collection.objects.link(camera)
    stage.scene.camera = camera
    stage.movers.append((camera, (0.0, plan.speed, 0.0)))


def _add_own_headlights(stage: Stage) -> None:
    """Light the road from the car that carries the camera; itself it is not seen."""
    camera = stage.plan.camera
    x, y, _ = camera.position
    stage.move((x, y + 1.4, 0.0), 0.0, camera.speed)
    watts = stage.plan.dice("own headlights").uniform(500, 1100)
    for side in (-0.6, 0.6):
        stage.spot((side, 0.0, 0.65), (1.0, 0.94, 0.85), watts, pitch_deg=86, opening_deg=75)
    stage.still()


def animate(stage: Stage, frames: int, fps: float) -> None:
    """Move everything that moves along straight lines, from frame 1 to `frames`."""
    scene = stage.scene
    scene.frame_start, scene.frame_end = 0, frames + 1
    for thing, velocity in stage.movers:
        start = tuple(thing.location)
        for frame in (0, frames + 1):
            passed = (frame - 1) / fps
            thing.location = tuple(a + v * passed for a, v in zip(start, velocity, strict=True))
            thing.keyframe_insert("location", frame=frame)
        for curve in _curves(thing):
            for point in curve.keyframe_points:
                point.interpolation = "LINEAR"


def _curves(thing: Any) -> list[Any]:
    action = thing.animation_data.action
    bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
    return [curve for bag in bags for curve in bag.fcurves]


def set_light(stage: Stage, t: float | None, *, lamps: float) -> None:
    """Set the sky of time t, or none, and how much of the lamps is on."""
    for light in stage.lights:
        light.set_level(light.level * (1.0 if light.always else lamps))
    tree = stage.scene.world.node_tree
    tree.nodes.clear()
    out = tree.nodes.new("ShaderNodeOutputWorld")
    background = tree.nodes.new("ShaderNodeBackground")
    tree.links.new(background.outputs[0], out.inputs["Surface"])
    if t is None:
        background.inputs["Color"].default_value = (0, 0, 0, 1)
        background.inputs["Strength"].default_value = 0.0
        return
    background.inputs["Strength"].default_value = 1.0
    sun = illumination(stage.plan, t).sun_deg
    colour = _dome(tree) if sun is None else _clear(stage, tree, sun)
    tree.links.new(colour, background.inputs["Color"])


def _dome(tree: Any) -> Any:
    """An even sky, brighter at the horizon than above, as under clouds and at night."""
    where = tree.nodes.new("ShaderNodeTexCoord")
    parts = tree.nodes.new("ShaderNodeSeparateXYZ")
    ramp = tree.nodes.new("ShaderNodeValToRGB")
    tree.links.new(where.outputs["Generated"], parts.inputs[0])
    tree.links.new(parts.outputs["Z"], ramp.inputs["Fac"])
    ramp.color_ramp.elements[0].color = (1.12, 1.1, 1.06, 1)
    ramp.color_ramp.elements[1].color = (0.75, 0.79, 0.86, 1)
    return ramp.outputs["Color"]


def _clear(stage: Stage, tree: Any, sun_deg: float) -> Any:
    weather = stage.plan.weather
    sky = tree.nodes.new("ShaderNodeTexSky")
    sky.sun_elevation = math.radians(sun_deg)
    sky.sun_rotation = math.radians(weather.sun_azimuth_deg)
    if not weather.cloud:
        return sky.outputs[0]
    # Clouds take the sky's mean light; they are painted on it, so that they hold still in a scene.
    where = tree.nodes.new("ShaderNodeTexCoord")
    stretch = tree.nodes.new("ShaderNodeMapping")
    noise = tree.nodes.new("ShaderNodeTexNoise")
    ramp = tree.nodes.new("ShaderNodeValToRGB")
    mix = tree.nodes.new("ShaderNodeMix")
    mix.data_type = "RGBA"
    stretch.inputs["Scale"].default_value = (1.6, 1.6, 5.0)
    stretch.inputs["Location"].default_value = (stage.plan.seed % 97, 0, 0)
    noise.inputs["Scale"].default_value = 1.8
    noise.inputs["Detail"].default_value = 8
    edge = 0.62 - 0.3 * weather.cloud
    ramp.color_ramp.elements[0].position = edge
    ramp.color_ramp.elements[1].position = min(1.0, edge + 0.16)
    bright = 5.5 * max(0.02, math.sin(math.radians(max(sun_deg, 0.0))) ** 0.7 + 0.03)
    warm = 1.0 if sun_deg > 12 else 0.72
    sockets = [s for s in mix.inputs if s.type == "RGBA"]
    factor = next(s for s in mix.inputs if s.name == "Factor" and s.type == "VALUE")
    tree.links.new(where.outputs["Generated"], stretch.inputs["Vector"])
    tree.links.new(stretch.outputs[0], noise.inputs["Vector"])
    tree.links.new(noise.outputs["Fac"], ramp.inputs["Fac"])
    tree.links.new(ramp.outputs["Color"], factor)
    tree.links.new(sky.outputs[0], sockets[0])
    sockets[1].default_value = (bright, bright * warm**0.5, bright * warm, 1)
    return next(s for s in mix.outputs if s.type == "RGBA")


def render_colour(stage: Stage, path: Path, frame: int) -> None:
    """Render the denoised light of the current frame to an EXR file."""
    layer = stage.scene.view_layers[0]
    _passes(layer, truth=False, motion=False)
    stage.scene.cycles.use_denoising = True
    stage.scene.cycles.pixel_filter_type = "BLACKMAN_HARRIS"
    _render(stage, path, frame)


def render_truth(stage: Stage, path: Path, frame: int, *, motion: bool) -> None:
    """Render index, depth and, of sequences, motion, sampled in the middle of each pixel."""
    scene = stage.scene
    samples = scene.cycles.samples
    _passes(scene.view_layers[0], truth=True, motion=motion)
    scene.cycles.samples = 1
    scene.cycles.use_denoising = False
    scene.cycles.pixel_filter_type = "BOX"
    scene.cycles.filter_width = 0.01
    _render(stage, path, frame)
    scene.cycles.samples = samples
    scene.cycles.filter_width = 1.5


def _passes(layer: Any, *, truth: bool, motion: bool) -> None:
    layer.use_pass_combined = not truth
    layer.use_pass_z = layer.use_pass_object_index = truth
    layer.use_pass_vector = motion


def _render(stage: Stage, path: Path, frame: int) -> None:
    if stage.scene.frame_current != frame:
        stage.scene.frame_set(frame)
    stage.scene.render.filepath = str(path)
    stage.scene.render.use_file_extension = False
    bpy.ops.render.render(write_still=True)
