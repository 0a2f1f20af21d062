"""`dayshift serve-repository`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli.options import JsonTo, Precision, parse_size_option


def serve_repository(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A bundled name or a folder.")],
    server: Annotated[
        str, typer.Option("--for", metavar="S", help="triton, or ovms: OpenVINO Model Server.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The repository; other models stay.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="N", help="On the server; the model's own.")
    ] = None,
    precision: Precision = "auto",
    form: Annotated[
        str,
        typer.Option(
            "--form",
            metavar="F",
            help="maps: small frames go over the network, and the client applies what comes back; "
            "full: whole frames, for any client; auto: maps on a CPU, where a model has them.",
        ),
    ] = "auto",
    size: Annotated[
        str, typer.Option("--size", metavar="WxH", help="Warm up for frames of this size.")
    ] = "1280x720",
    backend: Annotated[
        str,
        typer.Option(
            "--triton-backend",
            metavar="B",
            help="python (hosts OpenVINO), onnxruntime or openvino.",
        ),
    ] = "python",
    device: Annotated[
        str, typer.Option("--device", metavar="D", help="cpu or gpu; Triton's onnxruntime only.")
    ] = "cpu",
    instances: Annotated[
        int, typer.Option("--instances", min=1, metavar="N", help="Frames computed at a time.")
    ] = 1,
    threads: Annotated[
        int,
        typer.Option(
            "--threads", min=0, metavar="N", help="Cores of an instance; 0 shares them equally."
        ),
    ] = 0,
    batch: Annotated[
        int,
        typer.Option(
            "--batch", min=1, metavar="N", help="Frames of a call, where the graph takes several."
        ),
    ] = 4,
    batch_wait_ms: Annotated[
        float,
        typer.Option("--batch-wait-ms", min=0, metavar="MS", help="A frame waits for company."),
    ] = 2.0,
    streams: Annotated[
        int,
        typer.Option(
            "--streams", min=1, metavar="N", help="Streams at a time, of a model with a memory."
        ),
    ] = 32,
    stream_idle_s: Annotated[
        float,
        typer.Option(
            "--stream-idle-s", min=0.1, metavar="S", help="After so long a stream is forgotten."
        ),
    ] = 60.0,
    json_to: JsonTo = None,
) -> None:
    """Write a model repository for Triton or OpenVINO Model Server.

    dayshift run --backend kserve+grpc://HOST:PORT/NAME then streams through the server.
    """
    from dayshift.cli.extras import needs
    from dayshift.cli.output import check_json_target, emit

    with needs("onnx and tritonclient", extra="serving"):
        from dayshift.export.serving.repository import BACKENDS, write_ovms, write_triton
        from dayshift.export.serving.triton_config import Serving

    check_json_target(json_to)
    size_wh = parse_size_option(size)
    assert size_wh is not None  # it has a default
    _check_words(server, backend, device, BACKENDS)
    if server == "triton":
        serving = Serving(
            backend, device, instances, threads, batch, batch_wait_ms, streams, stream_idle_s
        )
        write = partial(write_triton, serving=serving, size=size_wh[::-1])
    else:
        write = partial(write_ovms, instances=instances)
    written = write(model, out, name=name, precision=precision, form=form)
    result = {
        "folder": str(written.folder),
        "server": server,
        "name": written.name,
        "form": written.setup.form,
        "precision": written.setup.precision,
        "sha256": written.setup.file.sha256,
        "batch": written.batch,
        "has_memory": written.has_memory,
    }
    rows = [(key.replace("_", " "), str(value)) for key, value in result.items()]
    emit(result, rows, title=f"dayshift serve-repository: {model}", json_to=json_to)


def _check_words(server: str, backend: str, device: str, backends: tuple[str, ...]) -> None:
    """Refuse words that are not among those of an option, and what does not go together."""
    from dayshift.runtime.errors import UsageError

    for option, value, words in (
        ("--for", server, ("triton", "ovms")),
        ("--triton-backend", backend, backends),
        ("--device", device, ("cpu", "gpu")),
    ):
        if value not in words:
            raise UsageError(f"unknown {option} {value!r}: expected {' or '.join(words)}")
    if device == "gpu" and (server, backend) != ("triton", "onnxruntime"):
        raise UsageError("--device gpu is for --for triton --triton-backend onnxruntime")
