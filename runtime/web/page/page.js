// The page: draws pictures as they come, by WebRTC (webrtc.js) or else as JPEG, and turns the
// stream's desk. One request for a JPEG is on its way at any moment, so that a slow phone or network
// skips pictures and never falls behind: there is nowhere for them to queue.
"use strict";

const $ = (id) => document.getElementById(id);
const stage = $("stage"), canvas = $("picture"), context = canvas.getContext("2d", { alpha: false });
const chart = new Chart($("chart"));
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// Image and source are parts of what the browser decoded: { from, top, width, height }.
let shown = { serial: 0, image: null, source: null };
let split = 0.5, isComparing = false, isLost = false, recordingSince = null, told = null;

// Pictures

const live = new LiveVideo((serial, capturedMs, image, source) => {
  show({ serial, image, source });
  const age = serverClock.now() - capturedMs;
  if (serverClock.isSet) chart.add((age % 2 ** 24 + 2 ** 24) % 2 ** 24);
});

async function watch() {
  let wait = 250;
  for (;;) {
    if (document.hidden) { live.drop(); await pause(250); continue; }
    live.want(isComparing);
    if (live.isLive) { isLost = false; await pause(100); continue; }
    try {
      const answer = await fetch(`/frame?after=${shown.serial}${isComparing ? "&source=1" : ""}`);
      if (answer.status === 401) { lose("Open this page with the address that dayshift printed: the token is missing"); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const age = Number(answer.headers.get("x-age-ms")), at = performance.now();
      if (answer.status === 200) await decode(answer, age, at);
      wait = 250;
      isLost = false;
    } catch {
      lose("Connection lost, trying again");
      await pause(wait);
      wait = Math.min(4000, wait * 2);
    }
  }
}

async function decode(answer, age, at) {
  const blob = await answer.blob();
  const length = Number(answer.headers.get("x-image-bytes"));
  const part = async (begin, end) => {
    const from = await createImageBitmap(blob.slice(begin, end, "image/jpeg"));
    return { from, top: 0, width: from.width, height: from.height };
  };
  const [image, source] = await Promise.all([part(0, length), length < blob.size ? part(length, blob.size) : null]);
  if (live.isLive) return;  // that was faster
  live.miss();
  show({ serial: Number(answer.headers.get("x-frame")), image, source });
  // What the server knows of the picture's age, and what passed here since its first byte.
  chart.add(age + performance.now() - at);
}

function show(picture) {
  shown.image?.from.close?.();
  shown.source?.from.close?.();
  shown = picture;
  draw();
  $("veil").classList.remove("shown");
}

function draw() {
  const { image, source } = shown;
  if (!image) return;
  if (canvas.width !== image.width || canvas.height !== image.height) {
    canvas.width = image.width;
    canvas.height = image.height;
    stage.style.setProperty("--ratio", image.width / image.height);
  }
  context.drawImage(image.from, 0, image.top, image.width, image.height, 0, 0, image.width, image.height);
  if (!isComparing || !source) return;
  const part = Math.round(split * source.width), width = part * image.width / source.width;
  if (part > 0) context.drawImage(source.from, 0, source.top, part, source.height, 0, 0, width, image.height);
}

function lose(message) {
  isLost = true;
  $("veil").textContent = message;
  $("veil").classList.add("shown");
  $("state").dataset.state = "lost";
  $("state").lastElementChild.textContent = "no connection";
}

// Before and after

function setSplit(part) {
  split = Math.min(1, Math.max(0, part));
  $("split").style.left = `${split * 100}%`;
  $("split").setAttribute("aria-valuenow", String(Math.round(split * 100)));
  draw();
}

function setComparing(on) {
  isComparing = on;
  stage.classList.toggle("comparing", on);
  $("compare").setAttribute("aria-pressed", String(on));
  draw();
}

$("split").addEventListener("pointerdown", (event) => {
  $("split").setPointerCapture(event.pointerId);
  event.preventDefault();
});
$("split").addEventListener("pointermove", (event) => {
  if (!$("split").hasPointerCapture(event.pointerId)) return;
  const box = stage.getBoundingClientRect();
  setSplit((event.clientX - box.left) / box.width);
});
$("split").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -.02, ArrowRight: .02, Home: -1, End: 1 }[event.key];
  if (step) { setSplit(split + step); event.preventDefault(); }
});
$("compare").addEventListener("click", () => setComparing(!isComparing));

// Controls

let wanted = {}, isSending = false;

async function change(changes) {
  Object.assign(wanted, changes);
  if (isSending) return;
  isSending = true;
  try {
    while (Object.keys(wanted).length) {
      const body = JSON.stringify(wanted);
      wanted = {};
      await post("/api/control", body);
      await pause(40);
    }
  } finally {
    isSending = false;
  }
  refresh();
}

async function post(path, body = "{}") {
  try {
    const answer = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body });
    if (!answer.ok) say((await answer.json()).error, true);
    return answer.ok;
  } catch {
    say("that did not reach the stream", true);
    return false;
  }
}

function say(text, isBad = false) {
  $("message").textContent = text;
  $("message").classList.toggle("bad", isBad);
}

const sliders = ["strength", "lamps"];

function slide(name, value) {
  $(name).value = value;
  $(name).style.setProperty("--filled", `${value * 100}%`);
  $(`${name}-value`).textContent = `${Math.round(value * 100)} %`;
}

for (const name of sliders) {
  $(name).addEventListener("input", () => {
    const value = Number($(name).value);
    slide(name, value);
    change({ [name]: value });
  });
}
for (const name of ["model", "precision"]) {
  $(name).addEventListener("change", () => change({ [name]: $(name).value }));
}
$("record").addEventListener("click", () => change({ is_recording: !told?.settings.is_recording }));
$("freeze").addEventListener("click", () => change({ is_frozen: !told?.settings.is_frozen }));
$("snapshot").addEventListener("click", () => post("/api/snapshot"));

// What the stream tells

async function follow() {
  for (;;) {
    if (!document.hidden) await refresh();
    await pause(500);
  }
}

async function refresh() {
  try {
    const answer = await fetch("/api/status");
    if (!answer.ok) return;
    const at = performance.now();
    told = await answer.json();
    serverClock.hear(told.now_ms, at);
  } catch {
    return;
  }
  const { settings, status } = told;
  if (!isLost) {
    $("state").dataset.state = told.state;
    $("state").lastElementChild.textContent = told.state;
  }
  $("lamps-control").hidden = settings.lamps === null;
  for (const name of sliders) {
    if (document.activeElement !== $(name) || !isSending) slide(name, settings[name]);
  }
  press("record", settings.is_recording, settings.is_recording ? "Stop recording" : "Record");
  press("freeze", settings.is_frozen);
  $("record").disabled = $("snapshot").disabled = !told.can_record;
  [$("before").textContent, $("after").textContent] = told.domains;
  choose("model", told.models, settings.model);
  choose("precision", told.precisions, settings.precision);
  $("pickers").hidden = told.models.length + told.precisions.length === 0;
  list(told.recordings);
  if (status) describe(status);
  const event = told.events[told.events.length - 1];
  if (event && event.at_s !== refresh.told) {
    refresh.told = event.at_s;
    say(event.message, event.state === "failed");
  }
  recordingSince = settings.is_recording ? recordingSince ?? Date.now() : null;
  const latency = chart.percentile(.95);
  $("way").textContent = live.isLive ? "WebRTC" : "MJPEG";
  $("latency").textContent = latency === null ? "–" : `${Math.round(latency)} ms p95`;
}

function press(id, on, label) {
  $(id).setAttribute("aria-pressed", String(on));
  if (label) $(id).lastElementChild.textContent = label;
}

function choose(id, names, current) {
  const select = $(id), all = current && !names.includes(current) ? [current, ...names] : names;
  if (select.dataset.names !== all.join()) {
    select.dataset.names = all.join();
    select.replaceChildren(...all.map((name) => new Option(name, name)));
  }
  select.disabled = names.length < 2;
  if (document.activeElement !== select) select.value = current ?? "";
}

function describe(status) {
  $("facts").textContent = `${status.size} · ${status.fps_out.toFixed(1)} fps`;
  document.title = `dayshift · ${status.source}`;
  const rows = [
    ["rate", `${status.fps_out.toFixed(1)} / ${status.fps_in.toFixed(1)}`],
    ["model", `${(status.stages_ms.infer?.p50 ?? 0).toFixed(1)} ms`],
    ["to sinks p95", `${(status.latency_ms.p95 ?? 0).toFixed(0)} ms`],
    ["dropped", status.frames_dropped],
    ["outages", status.outages],
    ["runs on", status.backend],
  ];
  $("numbers").replaceChildren(...rows.map(([name, value]) => {
    const row = document.createElement("div");
    const title = document.createElement("dt"), text = document.createElement("dd");
    title.textContent = name;
    text.textContent = String(value);
    row.append(title, text);
    return row;
  }));
}

function list(recordings) {
  $("shelf").hidden = recordings.length === 0;
  const key = recordings.map((one) => one.number).join();
  if ($("recordings").dataset.key === key) return;
  $("recordings").dataset.key = key;
  $("recordings").replaceChildren(...recordings.map((one) => {
    const link = document.createElement("a");
    link.href = `/recordings/${one.number}`;
    link.download = one.name;
    const name = document.createElement("span"), size = document.createElement("small");
    name.textContent = one.name;
    size.textContent = one.bytes > 1e6 ? `${(one.bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(one.bytes / 1e3)} kB`;
    link.append(name, size);
    const item = document.createElement("li");
    item.append(link);
    return item;
  }));
}

setInterval(() => {
  chart.draw();
  $("rec").hidden = recordingSince === null;
  if (recordingSince !== null) {
    const seconds = Math.floor((Date.now() - recordingSince) / 1000);
    $("rec").lastElementChild.textContent =
      `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`;
  }
}, 250);

$("veil").classList.add("shown");
setSplit(.5);
watch();
follow();
