/* The page: takes a photo, has worker.js enlarge it, shows both. */

const MOST_SIDE = 32767; // of a canvas, in the browsers that allow most
const $ = (id) => document.getElementById(id);
const models = await (await fetch("models.json")).json();

let photo = null; // { name, width, height, pixels: RGBA, hasAlpha, source: a canvas }
let worker = null;
let job = 0;
let began = 0;

// 1. A photo

$("file").addEventListener("change", () => $("file").files[0] && take($("file").files[0]));
$("sample").addEventListener("click", async () => {
  const bytes = await (await fetch("sample.jpg")).blob();
  await take(new File([bytes], "example.jpg", { type: "image/jpeg" }));
});
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
  if (file) take(file);
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
}
for (const kind of ["dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
  });
}
document.addEventListener("drop", (event) => event.dataTransfer.files[0] && take(event.dataTransfer.files[0]));

async function take(file) {
  halt();
  photo = null;
  $("chosen").hidden = $("result").hidden = true;
  $("start").disabled = true;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }); // as the camera was held
  } catch {
    say(`${file.name} is no image that this browser can open; JPEG, PNG, WebP and AVIF usually are.`);
    return;
  }
  const { width, height } = bitmap;
  const { scale } = model();
  if (!fits(width * scale, height * scale)) {
    say(
      `${file.name} has ${width}×${height} pixels. Its result would have ${width * scale}×${height * scale}, which is ` +
        "more than this browser can hold. Choose a smaller photo or a part of it; the command esrgan-tf upscale has no " +
        "such limit.",
    );
    bitmap.close();
    return;
  }
  const source = canvasOf(width, height);
  const context = source.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const hasAlpha = someTransparent(context.getImageData(0, 0, width, height).data);
  photo = { name: file.name, width, height, hasAlpha, source };
  show($("preview"), source);
  $("facts").textContent = `${file.name}: ${width}×${height} pixels, will be ${width * scale}×${height * scale}`;
  $("chosen").hidden = false;
  $("start").disabled = false;
  say("Ready.");
}

/* Whether a canvas of that size can be had: browsers and devices differ, and only trying tells. */
function fits(width, height) {
  if (Math.max(width, height) > MOST_SIDE) return false;
  const canvas = canvasOf(width, height);
  const context = canvas.getContext("2d");
  if (!context) return false;
  context.fillRect(width - 1, height - 1, 1, 1);
  try {
    return context.getImageData(width - 1, height - 1, 1, 1).data[3] === 255;
  } catch {
    return false;
  } finally {
    canvas.width = canvas.height = 0; // Safari keeps the memory else
  }
}

function someTransparent(rgba) {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] !== 255) return true;
  return false;
}

/* The pixels to enlarge. Transparent ones have no colour of their own: they take that of their neighbours. */
function colours({ source, width, height, hasAlpha }) {
  if (!hasAlpha) return source.getContext("2d").getImageData(0, 0, width, height).data;
  const filled = canvasOf(width, height);
  const context = filled.getContext("2d");
  context.drawImage(source, 0, 0);
  context.globalCompositeOperation = "destination-over";
  for (let far = 1; far < 2 * Math.max(width, height); far *= 2) {
    for (const [x, y] of [[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1], [1, -1], [-1, 1]]) {
      context.drawImage(filled, far * x, far * y);
    }
  }
  return context.getImageData(0, 0, width, height).data;
}

// 2. A network

for (const radio of document.getElementsByName("kind")) radio.addEventListener("change", choose);
$("alpha").addEventListener("input", choose);

function choose() {
  $("dial").hidden = kind() === "photo";
  $("alpha").setAttribute("aria-valuetext", model().label);
}

function kind() {
  return document.querySelector('input[name="kind"]:checked').value;
}

function model() {
  return models.find((each) => each.kind === kind() && (each.kind === "photo" || each.alpha === Number($("alpha").value)));
}

// 3. The result

$("start").addEventListener("click", start);
$("stop").addEventListener("click", () => {
  halt();
  say("Stopped.");
});

function start() {
  halt();
  job += 1;
  began = performance.now();
  worker ??= newWorker();
  const { width, height } = photo;
  const { scale } = model();
  const after = $("after");
  after.width = width * scale;
  after.height = height * scale;
  show($("before"), photo.source);
  photo.enlarged = { name: photo.name.replace(/\.[^.]*$/, "") + `_x${scale}.png`, label: model().label };
  $("result").hidden = false;
  $("save").disabled = true;
  $("stop").hidden = $("bar").hidden = false;
  $("start").disabled = true;
  $("bar").removeAttribute("value");
  say("Loading the network …");
  arrange();
  const pixels = colours(photo);
  worker.postMessage({ job, pixels, width, height, model: model() }, [pixels.buffer]);
}

function newWorker() {
  const fresh = new Worker("worker.js");
  let first = 0; // when the first tile came: before it, the runtime was loaded
  let runs = "";
  fresh.onmessage = ({ data }) => {
    if (data.job !== job) return;
    if (data.error) return fail(data.error);
    if (data.runs) {
      runs = data.runs;
      first = performance.now();
      return say(`Enlarging ${runs} …`);
    }
    $("after").getContext("2d").putImageData(new ImageData(data.rgba, data.width, data.height), data.x, data.y);
    $("bar").value = data.done;
    const left = ((performance.now() - first) * (1 - data.done)) / data.done / 1000;
    $("bar").setAttribute("aria-valuetext", `${Math.round(100 * data.done)} %, ${inWords(left)} left`);
    if (data.done < 1) return say(`Enlarging ${runs}: ${Math.round(100 * data.done)} %, ${inWords(left)} left`);
    finish(runs);
  };
  fresh.onerror = (event) => fail(event.message || "the part that computes could not be started");
  return fresh;
}

function finish(runs) {
  if (photo.hasAlpha) {
    const context = $("after").getContext("2d");
    context.globalCompositeOperation = "destination-in";
    context.imageSmoothingQuality = "high";
    context.drawImage(photo.source, 0, 0, $("after").width, $("after").height);
    context.globalCompositeOperation = "source-over";
  }
  idle();
  $("save").disabled = false;
  say(`Done in ${inWords((performance.now() - began) / 1000)}, ${runs}. Nothing was sent anywhere.`);
}

function fail(reason) {
  worker?.terminate();
  worker = null;
  idle();
  $("result").hidden = true;
  say(`It could not be enlarged: ${reason}. A smaller photo may fit, or another browser may do.`);
}

function halt() {
  if ($("stop").hidden) return;
  worker?.postMessage({ stop: job });
  job += 1;
  idle();
  $("result").hidden = true;
}

function idle() {
  $("stop").hidden = $("bar").hidden = true;
  $("start").disabled = photo === null;
}

$("save").addEventListener("click", () => {
  $("after").toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = photo.enlarged.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }, "image/png");
});

// Before and after

$("cut").addEventListener("input", arrange);
$("zoom").addEventListener("change", arrange);
$("line").addEventListener("pointerdown", (event) => $("line").setPointerCapture(event.pointerId));
$("line").addEventListener("pointermove", (event) => {
  if (!$("line").hasPointerCapture(event.pointerId)) return;
  const { left, width } = $("stage").getBoundingClientRect();
  $("cut").value = (100 * (event.clientX - left)) / width;
  arrange();
});

function arrange() {
  const part = Number($("cut").value);
  $("before").style.clipPath = `inset(0 ${100 - part}% 0 0)`;
  $("line").style.left = `${part}%`;
  const zoom = $("zoom").value;
  $("stage").style.width = zoom === "fit" ? "100%" : `${$("after").width * Number(zoom)}px`;
  $("after").style.imageRendering = zoom === "2" ? "pixelated" : "auto";
}

function show(canvas, source) {
  canvas.width = source.width;
  canvas.height = source.height;
  canvas.getContext("2d").drawImage(source, 0, 0);
}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

function inWords(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return `${Math.round(seconds / 60)} min`;
}

function say(words) {
  $("status").textContent = words;
}

if ("serviceWorker" in navigator) navigator.serviceWorker.register("offline.js").catch(() => {}); // it works without
choose();
document.documentElement.dataset.ready = "true";
