// What the pages can do better with JavaScript: fill in where they are served, and filter the projects as one types.
"use strict";

(() => {
  const root = new URL(document.documentElement.dataset.root, location.href);
  const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(location.hostname);
  const trusted = location.protocol !== "http:" || loopback;
  const fill = {
    index: (span) => { span.textContent = new URL("simple/", root).href; },
    trust: (span) => {
      // pip takes HTTPS, this machine and files as they are.
      if (trusted) span.remove();
      else span.textContent = span.textContent.replace("HOST", location.hostname);
    },
    hint: (paragraph) => { paragraph.remove(); },
  };
  for (const place of document.querySelectorAll("[data-fill]")) fill[place.dataset.fill](place);

  const field = document.getElementById("search");
  if (!field) return;

  const found = document.getElementById("found");
  const letters = document.querySelector(".letters");
  // Names are compared as indexes compare them: runs of "-", "_" and "." are one, and case does not count.
  const normal = (text) => text.toLowerCase().replace(/[-_.]+/g, "-");
  const groups = [...document.querySelectorAll(".projects tbody")].map((body) => ({
    body,
    rows: [...body.rows].map((row) => ({
      row,
      link: row.querySelector("a"),
      name: normal(row.querySelector("a").textContent),
      text: normal(`${row.querySelector("a").textContent} ${row.querySelector(".summary").textContent}`),
    })),
  }));
  const rows = groups.flatMap((group) => group.rows);

  const filter = () => {
    const words = normal(field.value).split(/\s+/).filter(Boolean);
    let count = 0;
    for (const group of groups) {
      let shown = 0;
      for (const entry of group.rows) {
        const fits = words.every((word) => entry.text.includes(word));
        entry.row.hidden = !fits;
        shown += fits;
      }
      group.body.hidden = shown === 0;
      count += shown;
    }
    if (letters) letters.hidden = words.length > 0;
    if (!words.length) found.textContent = "";
    else if (count) found.textContent = `${count} of ${rows.length} projects`;
    else found.textContent = "No project here matches. Who keeps the mirror can add it.";
  };

  // Enter opens the project of that name, or the only one left.
  const open = (event) => {
    if (event.key !== "Enter") return;
    const left = rows.filter((entry) => !entry.row.hidden);
    const target = left.find((entry) => entry.name === normal(field.value.trim())) || (left.length === 1 && left[0]);
    if (target) location.assign(target.link.href);
  };

  field.closest(".search").hidden = false;
  field.addEventListener("input", filter);
  field.addEventListener("keydown", open);
  // A browser that goes back puts the text back into the field.
  addEventListener("pageshow", filter);
})();
