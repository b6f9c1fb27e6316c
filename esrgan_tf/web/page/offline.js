/* Keeps what the page has loaded, so that it works without a network.
 *
 * All of it is of one version, which stands for the content of all files: a new one is kept apart, and takes over when no
 * page of the old one is open any more, so that scripts of two versions never meet.
 */
"use strict";

const STORE = "esrgan_tf VERSION";
const FIRST = ["./", "style.css", "page.js", "computer.js", "worker.js", "icon.svg", "models.json", "sample.jpg"];

self.addEventListener("install", (event) => {
  const fresh = FIRST.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(STORE).then((store) => store.addAll(fresh)));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(removeOthers().then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && new URL(request.url).origin === self.location.origin) {
    event.respondWith(answer(request));
  }
});

async function removeOthers() {
  const names = (await caches.keys()).filter((name) => name.startsWith("esrgan_tf ") && name !== STORE);
  await Promise.all(names.map((name) => caches.delete(name)));
}

async function answer(request) {
  const store = await caches.open(STORE);
  const known = await store.match(request, { ignoreSearch: true });
  if (known) return known;
  const response = await fetch(request);
  if (response.status === 200) store.put(request, response.clone());
  return response;
}
