"use strict";
// Each item becomes a row of players that step through the strips below them, all in step.
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function makePlayer(strip) {
  const caption = element("figcaption", {}, element("span", { class: "name" }, strip.dataset.route), element("span", { class: "state" }));
  const picture = strip.querySelector("img").cloneNode();
  picture.alt = strip.dataset.route + ", playing";
  const view = element("div", { class: "window", style: strip.getAttribute("style") }, picture);
  return element("figure", { class: "player " + strip.parentElement.classList[1] }, view, caption);
}

function makeItem(item) {
  const strips = [...item.querySelectorAll(".frames")];
  if (!strips.length) return;
  const length = Math.max(...strips.map((strip) => Number(strip.dataset.frames)));
  const players = strips.map(makePlayer);
  strips.forEach((strip) => strip.append(element("div", { class: "cursor" })));
  const back = element("button", { type: "button", "aria-label": "One frame back" }, "‹");
  const play = element("button", { type: "button" }, "Play");
  const forward = element("button", { type: "button", "aria-label": "One frame forward" }, "›");
  const slider = element("input", { type: "range", min: 0, max: length - 1, value: 0, "aria-label": "Frame" });
  const place = element("output", {});
  let at = 0, timer = null;

  function show(frame) {
    at = (frame + length) % length;
    slider.value = at;
    place.value = `frame ${at + 1} of ${length}`;
    strips.forEach((strip, i) => {
      const own = Math.min(at, strip.dataset.frames - 1);  // a shorter film waits on its last frame
      strip.style.setProperty("--at", own);
      players[i].firstChild.style.setProperty("--at", own);
      players[i].querySelector(".state").textContent = own < strip.dataset.given ? "given" : "";
    });
  }
  function run(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => show(at + 1), 1000 / (Number(item.dataset.fps) || 10)) : null;
    play.textContent = on ? "Pause" : "Play";
  }
  function step(by) { run(false); show(at + by); }

  back.addEventListener("click", () => step(-1));
  forward.addEventListener("click", () => step(1));
  play.addEventListener("click", () => run(timer === null));
  slider.addEventListener("input", () => step(Number(slider.value) - at));
  item.querySelector(".strips").before(
    element("div", { class: "players" }, ...players),
    element("div", { class: "controls", role: "group", "aria-label": "Playback" }, back, play, forward, slider, place));
  show(0);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
    const observer = new IntersectionObserver(([entry]) => {  // starts by itself, once, when it comes into sight
      if (!entry.isIntersecting) return;
      observer.disconnect();
      run(true);
    }, { threshold: 0.6 });
    observer.observe(item);
  }
}

document.querySelectorAll(".item").forEach(makeItem);
document.documentElement.dataset.ready = document.querySelectorAll(".player").length;
