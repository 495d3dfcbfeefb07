/* Parts that refresh themselves: fetch one fragment, announce one sentence, stop at the end. Pages work without it. */
(() => {
  "use strict";
  const start = (part) => {
    const note = part.nextElementSibling?.matches("[data-live-note]") ? part.nextElementSibling : null;
    const status = document.querySelector("[data-live-status]");
    const usual = Number(part.dataset.liveEvery || 2) * 1000;
    let tag = "", wait = usual, timer = 0, quiet = 0, last = new Date();
    const plan = () => {
      clearTimeout(timer);
      if (!document.hidden) timer = setTimeout(look, wait);
    };
    const look = async () => {
      try {
        const answer = await fetch(part.dataset.live, { headers: tag ? { "If-None-Match": tag } : {}, credentials: "same-origin" });
        if (answer.status !== 200 && answer.status !== 304) throw new Error(String(answer.status));
        if (answer.redirected) return location.reload();
        quiet = answer.status === 304 ? quiet + wait : 0;
        if (answer.status === 200) {
          tag = answer.headers.get("ETag") || "";
          part.innerHTML = await answer.text();
          const words = part.querySelector("[data-live-sentence]")?.textContent || "";
          if (status && words && status.textContent !== words) status.textContent = words;
        }
        last = new Date();
        part.classList.remove("hh-stale");
        if (note) note.hidden = true;
        if (answer.headers.get("X-Live") === "ended") return location.reload();
        wait = quiet >= 60000 ? 10000 : usual;
      } catch {
        wait = Math.min(wait * 2, 60000);
        part.classList.add("hh-stale");
        if (note) {
          note.hidden = false;
          note.textContent = `Not updated since ${last.toLocaleTimeString()}.`;
        }
      }
      plan();
    };
    document.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      if (!document.hidden) look();
    });
    plan();
  };
  const ready = () => document.querySelectorAll("[data-live]").forEach(start);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", ready);
  else ready();
})();
