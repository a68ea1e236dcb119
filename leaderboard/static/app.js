"use strict";

// Everything can be read without this script. It keeps pages up to date, and adds copy buttons.

function addCopyButtons(root) {
  for (const block of root.querySelectorAll("pre[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = block.dataset.copy;
    button.addEventListener("click", () => copy(block, button));
    const frame = document.createElement("div");
    frame.className = "code";
    block.replaceWith(frame);
    frame.append(block, button);
  }
}

async function copy(block, button) {
  const code = block.querySelector("code");
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(code.textContent);
  } else {
    // Over plain http there is no clipboard for scripts, only for the selection.
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
    getSelection().removeAllRanges();
  }
  button.textContent = block.dataset.copied;
  setTimeout(() => { button.textContent = block.dataset.copy; }, 1500);
}

function keys(box) {
  return new Set(Array.from(box.querySelectorAll("[data-key]"), (row) => row.dataset.key));
}

function follow(box) {
  let source = null;
  let shown = null;
  let over = false;

  function swap(html) {
    if (html === shown) return;
    const before = keys(box);
    box.innerHTML = html;
    addCopyButtons(box);
    if (shown !== null) {
      for (const row of box.querySelectorAll("[data-key]")) {
        row.classList.toggle("fresh", !before.has(row.dataset.key));
      }
    }
    shown = html;
  }

  // A board may be large: we are told that it changed, and fetch the part that is shown here. The
  // server says within what time, so that thousands who watch do not all ask at once.
  let fetching = null;
  function refresh(spread) {
    if (fetching !== null) return;
    fetching = setTimeout(async () => {
      fetching = null;
      try {
        const answer = await fetch(box.dataset.fragment);
        if (answer.ok) swap(await answer.text());
      } catch {
        // The stream breaks off as well then, and tells us again when it is back.
      }
    }, Math.random() * spread);
  }

  function connect() {
    if (source !== null || over || document.hidden) return;
    source = new EventSource(box.dataset.live);
    source.addEventListener("fragment", (event) => swap(event.data));
    source.addEventListener("changed", (event) => {
      if (event.lastEventId === box.dataset.revision) return;
      box.dataset.revision = event.lastEventId;
      refresh(JSON.parse(event.data).spread_ms);
    });
    source.addEventListener("end", () => { over = true; disconnect(); });
  }

  function disconnect() {
    if (source !== null) source.close();
    source = null;
  }

  // Browsers allow few connections to one server: tabs that nobody looks at give theirs back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) disconnect(); else connect();
  });
  connect();
}

addCopyButtons(document);
for (const box of document.querySelectorAll("[data-live]")) follow(box);
