/* Small conveniences of our own pages. Every page works without them. */
(() => {
  "use strict";
  const ready = (work) =>
    document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", work) : work();
  ready(() => {
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.hidden = false;
      const words = button.textContent;
      button.addEventListener("click", async () => {
        const source = document.getElementById(button.dataset.copy);
        const text = button.dataset.text || (source && (source.value || source.textContent)) || "";
        try {
          await navigator.clipboard.writeText(text);
          button.textContent = "Copied";
        } catch {
          if (source && source.select) source.select();
          button.textContent = "Press Ctrl+C";
        }
        setTimeout(() => (button.textContent = words), 2000);
      });
    }
    for (const select of document.querySelectorAll("select[data-submits]")) {
      select.addEventListener("change", () => select.form.requestSubmit());
      for (const button of select.form.querySelectorAll("[data-only-without-script]")) button.hidden = true;
    }
    const relative = (seconds) => {
      if (seconds < 0) return null;
      if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s ago`;
      if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
      if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
      if (seconds < 604800) return `${Math.floor(seconds / 86400)} d ago`;
      return null;
    };
    const refresh = () => {
      for (const time of document.querySelectorAll("time[data-relative]")) {
        const text = relative((Date.now() - Date.parse(time.dateTime)) / 1000);
        if (text && time.textContent !== text) time.textContent = text;
      }
    };
    setInterval(refresh, 30000);
  });
})();
