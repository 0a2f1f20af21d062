"""A rewrite of quantized graphs for OpenVINO: round first, pad afterwards.

The graphs have a pair of Q/DQ on what a convolution reads, behind a reflection padding if there is
one: that is what TensorRT reads. OpenVINO then pads floats. Padding that copies values and rounding
each by itself may change places, and nothing else changes: it then pads bytes, and what came before
may round while it writes.
"""

from __future__ import annotations

from collections.abc import Iterator

import openvino as ov

_COPYING = ("reflect", "edge", "symmetric")
# What a pair is read as, after its FakeQuantize.
_PAIR = ("Convert", "Subtract", "Multiply")


def round_before_padding(model: ov.Model) -> int:
    """Change a model in place; return how many paddings now follow their rounding."""
    moved = 0
    for rounding in list(model.get_ordered_ops()):
        if rounding.get_type_name() != "FakeQuantize":
            continue
        padding = rounding.input_value(0).get_node()
        *_, last = _pair(rounding)
        if not _copies_for_one(padding) or last.get_type_name() != "Multiply":
            continue
        readers = last.output(0).get_target_inputs()
        rounding.input(0).replace_source_output(padding.input_value(0))
        padding.input(0).replace_source_output(last.output(0))
        for reader in readers:
            reader.replace_source_output(padding.output(0))
        moved += 1
    if moved:
        model.validate_nodes_and_infer_types()
    return moved


def _pair(rounding: ov.Node) -> Iterator[ov.Node]:
    """Yield the nodes of a pair, from its rounding to its last."""
    node = rounding
    yield node
    while node.get_type_name() != "Multiply":
        readers = list(node.output(0).get_target_inputs())
        if len(readers) != 1 or readers[0].get_node().get_type_name() not in _PAIR:
            return
        node = readers[0].get_node()
        yield node


def _copies_for_one(node: ov.Node) -> bool:
    """Say whether a node pads with values that are there, and one other alone reads it."""
    return (
        node.get_type_name() == "Pad"
        and node.get_attributes()["pad_mode"] in _COPYING
        and len(node.output(0).get_target_inputs()) == 1
    )
