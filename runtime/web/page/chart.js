// The latency chart: one dot in time per picture, the last twenty seconds.
"use strict";

class Chart {
  constructor(canvas, seconds = 20) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.seconds = seconds;
    this.samples = [];
  }

  add(milliseconds) {
    const now = performance.now() / 1000;
    this.samples.push([now, milliseconds]);
    while (this.samples.length && now - this.samples[0][0] > this.seconds) this.samples.shift();
  }

  percentile(part) {
    if (!this.samples.length) return null;
    const sorted = this.samples.map((sample) => sample[1]).sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (this.canvas.width !== Math.round(width * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const context = this.context, now = performance.now() / 1000;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const highest = Math.max(60, ...this.samples.map((sample) => sample[1])) * 1.1;
    const y = (value) => height - 1 - (value / highest) * (height - 2);
    const step = [20, 50, 100, 200, 500, 1000, 2000, 5000].find((size) => highest / size <= 4) ?? 20000;
    context.strokeStyle = "#232938";
    context.fillStyle = "#6b7488";
    context.font = "10px system-ui, sans-serif";
    context.lineWidth = 1;
    for (let value = step; value < highest; value += step) {
      context.beginPath();
      context.moveTo(0, Math.round(y(value)) + .5);
      context.lineTo(width, Math.round(y(value)) + .5);
      context.stroke();
      if (y(value) > 12) context.fillText(String(value), 0, y(value) - 3);  // whole, or not at all
    }
    if (this.samples.length < 2) return;
    context.strokeStyle = "#f3c677";
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.beginPath();
    let before = null;
    for (const [at, value] of this.samples) {
      const x = width * (1 - (now - at) / this.seconds);
      // A gap is a gap: no line across a pause.
      if (before === null || at - before > 1) context.moveTo(x, y(value));
      else context.lineTo(x, y(value));
      before = at;
    }
    context.stroke();
  }
}
