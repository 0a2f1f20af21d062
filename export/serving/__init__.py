"""Model repositories: what Triton and OpenVINO Model Server read to serve many streams."""
