"""ONNX files of others: read, or refused with what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import parser

from dayshift.export.onnx_file import OPSET, parse_graph, read_segmenter
from dayshift.runtime.errors import ModelError

_SEGMENTER = """<ir_version: 8, opset_import: ["" : 17]>
seg (float[1, 3, h, w] pixels) => (float[1, 5, h, w] scores) {
    one = Constant<value = float[5, 3, 1, 1] {1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0,
        0.5, 0.5, 0.3, 0.3, 0.3}>()
    scores = Conv(pixels, one)
}"""


def write(path: Path, text: str) -> Path:
    path.write_bytes(parser.parse_model(text).SerializeToString())
    return path


def test_a_segmenter_of_an_older_opset_is_brought_to_ours(tmp_path: Path) -> None:
    model = read_segmenter(write(tmp_path / "seg.onnx", _SEGMENTER), 5)
    assert model.opset_import[0].version == OPSET


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("float[1, 3, h, w] pixels", "float[1, h, w, 3] pixels"),
        ("float[1, 3, h, w] pixels", "uint8[1, 3, h, w] pixels"),
        ("float[1, 5, h, w] scores", "float[1, 6, h, w] scores"),
    ],
)
def test_a_foreign_layout_is_refused_with_the_one_that_is_expected(
    tmp_path: Path, before: str, after: str
) -> None:
    graph = parser.parse_model(_SEGMENTER)
    other = parser.parse_model(_SEGMENTER.replace(before, after))
    # The signature alone is foreign: whether the rest would run with it is not looked at.
    del graph.graph.input[:], graph.graph.output[:]
    graph.graph.input.extend(other.graph.input)
    graph.graph.output.extend(other.graph.output)
    path = tmp_path / "seg.onnx"
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(ModelError, match=r"expected one input, float32 \(1, 3, H, W\) RGB .* 5, h"):
        read_segmenter(path, 5)


def test_a_graph_without_its_external_data_is_refused(net: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(
        net,
        path,
        save_as_external_data=True,
        location="net.onnx.data",
        size_threshold=0,
        convert_attribute=False,
    )
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(
        ModelError, match=r"keeps its weights in net\.onnx\.data, expected one file"
    ):
        parse_graph(path.read_bytes(), "net.onnx")


def test_an_opset_too_new_is_refused_by_number(net: onnx.ModelProto) -> None:
    net.opset_import[0].version = OPSET + 1
    with pytest.raises(ModelError, match=rf"is of opset {OPSET + 1}, expected {OPSET} or older"):
        parse_graph(net.SerializeToString())


def test_what_is_cut_off_or_no_onnx_is_refused(net: onnx.ModelProto) -> None:
    content = net.SerializeToString()
    for damaged in (content[: len(content) // 2], b"\x89PNG\r\n\x1a\n" * 9, b""):
        with pytest.raises(ModelError, match=r"not (valid )?ONNX"):
            parse_graph(damaged)


def test_a_missing_segmenter_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read the segmenter .*none\.onnx \(No such file"):
        read_segmenter(tmp_path / "none.onnx", 5)
