// The live picture by WebRTC: H.264 from this server alone, without STUN or TURN. Below each picture
// of the video is a strip of dark and light blocks: its number, and its time of capture. Where
// nothing comes this way, the page goes on with JPEG, and this is tried again now and then.
"use strict";

const BLOCK = 8, BITS = 24, LIVE_MS = 1500, CONNECT_MS = 10000, FIRST_RETRY_MS = 5000, LAST_RETRY_MS = 300000;
const MOST_MISSED = 30;

// One connection, for one thing that is looked at: the image, or image and source.
class Viewer {
  constructor(isComparing, onPicture, onFailure) {
    this.isComparing = isComparing;
    this.startedAt = performance.now();
    this.onFailure = onFailure;
    this.connection = new RTCPeerConnection();
    this.video = document.createElement("video");
    this.video.muted = this.video.playsInline = true;
    this.video.className = "feed";
    $("stage").append(this.video);
    const next = () => {
      if (!this.video.isConnected) return;
      this.video.requestVideoFrameCallback(next);
      onPicture(this);
    };
    this.video.requestVideoFrameCallback(next);
  }

  async connect() {
    this.connection.addEventListener("connectionstatechange", () => {
      if (this.connection.connectionState === "failed") this.onFailure(this);
    });
    this.connection.addEventListener("track", ({ receiver, track }) => {
      receiver.jitterBufferTarget = 0;  // the newest picture, rather than an even pace
      this.video.srcObject = new MediaStream([track]);
      this.video.play().catch(() => this.onFailure(this));
      track.addEventListener("ended", () => this.onFailure(this));
    });
    try {
      this.connection.addTransceiver("video", { direction: "recvonly" });
      await this.connection.setLocalDescription();
      const { sdp } = this.connection.localDescription;
      const answer = await fetch("/api/offer", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ sdp, is_comparing: this.isComparing }),
      });
      if (!answer.ok) { this.onFailure(this, answer.status === 501); return; }
      await this.connection.setRemoteDescription({ type: "answer", sdp: (await answer.json()).sdp });
    } catch {
      this.onFailure(this);
    }
  }

  close() {
    this.connection.close();
    this.video.srcObject = null;
    this.video.remove();
  }
}

class LiveVideo {
  // show(serial, time of capture in ms of the server's clock, image, source or null): parts to draw.
  constructor(show) {
    this.show = show;
    this.strip = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    this.current = null;  // what is shown
    this.coming = null;   // takes its place with its first picture
    this.shownAt = -Infinity;
    this.missed = 0;
    this.retryAt = 0;
    this.retryMs = FIRST_RETRY_MS;
    this.isPossible = "RTCPeerConnection" in window && "requestVideoFrameCallback" in HTMLVideoElement.prototype;
  }

  get isLive() { return this.current !== null && performance.now() - this.shownAt < LIVE_MS; }

  // See to it that what is looked at comes, or is about to.
  want(isComparing) {
    const now = performance.now();
    if (this.coming && now - this.coming.startedAt > CONNECT_MS) this.fail(this.coming);
    if (!this.isPossible || now < this.retryAt) return;
    if ((this.coming ?? this.current)?.isComparing === isComparing) return;
    this.coming?.close();
    this.coming = new Viewer(isComparing, (viewer) => this.take(viewer), (viewer, isForGood) => this.fail(viewer, isForGood));
    this.coming.connect();
  }

  // Let go of everything, until it is wanted again.
  drop() {
    this.coming?.close();
    this.current?.close();
    this.coming = this.current = null;
  }

  // A picture came as JPEG first. Where it is always so, the network does not carry the video.
  miss() {
    if (this.current && ++this.missed > MOST_MISSED) this.fail(this.current);
  }

  fail(viewer, isForGood = false) {
    if (viewer !== this.coming && viewer !== this.current) return;
    viewer.close();
    if (viewer === this.coming) this.coming = null;
    else this.current = null;
    if (isForGood) this.isPossible = false;
    this.retryAt = performance.now() + this.retryMs;
    this.retryMs = Math.min(LAST_RETRY_MS, 2 * this.retryMs);
  }

  take(viewer) {
    if (viewer === this.coming) {
      this.current?.close();
      this.current = viewer;
      this.coming = null;
    }
    if (viewer !== this.current) return;
    const { video, isComparing } = viewer, width = video.videoWidth;
    const columns = Math.floor(width / BLOCK), edge = Math.ceil(2 * BITS / columns) * BLOCK;
    const height = (video.videoHeight - edge) / (isComparing ? 2 : 1);
    const [serial, capturedMs] = this.read(video, columns, edge);
    this.shownAt = performance.now();
    this.missed = 0;
    this.retryMs = FIRST_RETRY_MS;
    const part = (top) => ({ from: video, top, width, height });
    this.show(serial, capturedMs, part(0), isComparing ? part(height) : null);
  }

  read(video, columns, edge) {
    const { canvas } = this.strip, width = columns * BLOCK;
    if (canvas.width !== width || canvas.height !== edge) [canvas.width, canvas.height] = [width, edge];
    this.strip.drawImage(video, 0, video.videoHeight - edge, width, edge, 0, 0, width, edge);
    const { data } = this.strip.getImageData(0, 0, width, edge);
    const numbers = [0, 0];
    for (let bit = 0; bit < 2 * BITS; bit++) {
      const x = (bit % columns + .5) * BLOCK, y = (Math.floor(bit / columns) + .5) * BLOCK;
      if (data[4 * (y * width + x) + 1] > 127) numbers[Math.floor(bit / BITS)] += 2 ** (bit % BITS);
    }
    return numbers;
  }
}

// The server's clock, as of what it last said: each answer was late by its way here, the fastest least.
const serverClock = {
  heard: [],
  get isSet() { return this.heard.length > 0; },
  hear(milliseconds, at) {
    this.heard.push(milliseconds - at);
    if (this.heard.length > 20) this.heard.shift();  // clocks drift
  },
  now() { return performance.now() + Math.max(...this.heard); },
};
