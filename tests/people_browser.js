// Uses the pages in headless Chromium and prints what was seen as JSON; tests/test_people_browser.py judges it.
// node people_browser.js CHROMIUM BASE-URL FILE-URL PROJECT [FOLDER-FOR-SCREENSHOTS]
"use strict";

const fs = require("node:fs");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [executablePath, base, file, project, pictures] = process.argv.slice(2);
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--host-resolver-rules=MAP mirror.example.com 127.0.0.1"];
const WIDE = { width: 1200, height: 800 };
const PHONE = { width: 320, height: 640 };
const seen = { complaints: [], hosts: [], accessibility: {} };

async function open(browser, address, options = {}) {
  const context = await browser.newContext({ viewport: WIDE, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60000);  // reached only where something is wrong
  page.on("console", (message) => seen.complaints.push(message.text()));
  page.on("pageerror", (error) => seen.complaints.push(error.message));
  page.on("dialog", (dialog) => { seen.complaints.push(dialog.message()); dialog.dismiss(); });
  page.on("request", (request) => seen.hosts.push(new URL(request.url()).host));
  await page.goto(address, { waitUntil: "load" });
  return page;
}

async function picture(page, name) {
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png` });
}

// Also waits until the page that the link leads to is the one that is looked at.
async function click(page, link, address) {
  await Promise.all([page.waitForURL(address), page.click(link)]);
}

const rows = (page) => page.$$eval(".projects tbody tr", (all) =>
  all.filter((row) => row.offsetParent !== null).map((row) => row.querySelector("a").textContent));

async function search(browser) {
  const page = await open(browser, base);
  const all = await rows(page);
  await page.locator("#search").pressSequentially("Searched_And");
  const byName = { rows: await rows(page), status: await page.textContent("#found") };
  await picture(page, "search");
  await page.fill("#search", "peculiar words");
  const bySummary = await rows(page);
  await page.fill("#search", "nothing is called so");
  const none = { rows: await rows(page), status: await page.textContent("#found") };
  await page.fill("#search", "");
  const again = await rows(page);
  await page.fill("#search", project);
  await page.press("#search", "Enter");
  await page.waitForURL(`**/project/${project}/**`);
  const opened = await page.textContent("h1");
  await page.goBack();
  return { all, byName, bySummary, none, again, opened };
}

async function keyboard(browser) {
  const page = await open(browser, base);
  const focused = () => page.evaluate(() => {
    const here = document.activeElement;
    const style = getComputedStyle(here);
    const box = here.getBoundingClientRect();
    return { name: here.id || here.textContent.trim(), outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
      inside: box.left >= 0 && box.right <= innerWidth && box.width > 0 };
  });
  const stops = [];
  for (let count = 0; count < 60; count += 1) {
    await page.keyboard.press("Tab");
    stops.push(await focused());
    if (stops.at(-1).name === "search") break;
  }
  await page.keyboard.type(project);
  await page.keyboard.press("Tab");
  stops.push(await focused());
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/project/${project}/**`);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const skipped = await page.waitForFunction(() => document.activeElement.id).then((found) => found.jsonValue());
  await page.keyboard.press("Tab");
  return { stops, skipped, first: await focused() };
}

async function withoutScript(browser) {
  const page = await open(browser, base, { javaScriptEnabled: false });
  const search = await page.locator("#search").isVisible();
  const front = await page.innerText("main");
  await picture(page, "no-script");
  await click(page, `.projects a[href="project/${project}/index.html"]`, `**/project/${project}/**`);
  return { search, front, project: await page.innerText("main") };
}

async function filled(browser, address) {
  const page = await open(browser, address);
  return page.$$eval(".way pre", (all) => all.map((one) => one.textContent));
}

async function fromDisk(browser) {
  const page = await open(browser, file);
  await page.fill("#search", project);
  await click(page, `.projects a[href="project/${project}/index.html"]`, `**/project/${project}/**`);
  const lines = await page.$$eval(".way pre", (all) => all.map((one) => one.textContent));
  await click(page, ".home", file);
  return { lines, back: await page.textContent("h1") };
}

async function looks(browser) {
  const found = {};
  for (const [place, address] of [["front", base], ["project", `${base}project/${project}/`], ["hostile", `${base}project/hostile/`]]) {
    for (const [screen, viewport] of [["wide", WIDE], ["phone", PHONE]]) {
      for (const colorScheme of ["light", "dark"]) {
        const page = await open(browser, address, { viewport, colorScheme });
        const name = `${place}-${screen}-${colorScheme}`;
        await picture(page, name);
        await page.$$eval("details", (all) => all.forEach((one) => { one.open = true; }));
        found[name] = await page.evaluate(() => ({
          overflow: document.documentElement.scrollWidth - innerWidth,
          background: getComputedStyle(document.body).backgroundColor,
        }));
        await page.evaluate(axe);
        seen.accessibility[name] = await page.evaluate(async () =>
          (await window.axe.run(document)).violations.map((one) => `${one.id}: ${one.nodes[0].html}`));
        await page.context().close();
      }
    }
  }
  return found;
}

(async () => {
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  try {
    seen.search = await search(browser);
    seen.keyboard = await keyboard(browser);
    seen.withoutScript = await withoutScript(browser);
    seen.lines = await filled(browser, `${base}project/${project}/`);
    const elsewhere = base.replace("127.0.0.1", "mirror.example.com");
    seen.linesElsewhere = await filled(browser, `${elsewhere}project/${project}/`);
    seen.fromDisk = await fromDisk(browser);
    seen.looks = await looks(browser);
  } finally {
    await browser.close();
  }
  console.log(JSON.stringify(seen));
})().catch((error) => { console.error(error); process.exitCode = 1; });
