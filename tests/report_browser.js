// Looks at the page of a report in headless Chromium and prints what was seen as JSON; tests/test_report_browser.py judges it.
// node report_browser.js CHROMIUM FILE-URL PDF [FOLDER-FOR-SCREENSHOTS]
"use strict";

const fs = require("node:fs");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [executablePath, address, pdf, pictures] = process.argv.slice(2);
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const seen = { complaints: [], requests: [], looks: {} };

async function look(browser, viewport, colorScheme, name) {
  const context = await browser.newContext({ viewport, colorScheme, javaScriptEnabled: true });
  const page = await context.newPage();
  page.setDefaultTimeout(60000);  // reached only where something is wrong
  page.on("console", (message) => seen.complaints.push(message.text()));
  page.on("pageerror", (error) => seen.complaints.push(error.message));
  page.on("dialog", (dialog) => { seen.complaints.push(dialog.message()); dialog.dismiss(); });
  page.on("request", (request) => seen.requests.push(request.url()));
  await page.goto(address, { waitUntil: "load" });
  if (pictures) await page.screenshot({ path: `${pictures}/report-${name}.png`, fullPage: true });
  const found = await page.evaluate(() => ({
    overflow: document.documentElement.scrollWidth - innerWidth,
    background: getComputedStyle(document.body).backgroundColor,
    bars: [...document.querySelectorAll(".bar .alone")].map((one) => one.getBoundingClientRect().width),
  }));
  await page.evaluate(axe);
  found.accessibility = await page.evaluate(async () =>
    (await window.axe.run(document)).violations.map((one) => `${one.id}: ${one.nodes[0].html}`));
  seen.looks[name] = found;
  return page;
}

// As it is laid out on paper: no row is cut by the end of a page, and nothing is wider than it.
async function print(page) {
  await page.pdf({ path: pdf, preferCSSPageSize: true });
  await page.emulateMedia({ media: "print", colorScheme: "dark" });
  seen.print = await page.evaluate(() => ({
    background: getComputedStyle(document.body).backgroundColor,
    rows: [...document.querySelectorAll("tr")].every((row) => getComputedStyle(row).breakInside === "avoid"),
    shown: [...document.querySelectorAll(".here, .skip")].filter((one) => getComputedStyle(one).display !== "none").length,
  }));
}

(async () => {
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  try {
    for (const [screen, viewport] of [["wide", { width: 1200, height: 800 }], ["phone", { width: 320, height: 640 }]]) {
      for (const scheme of ["light", "dark"]) {
        const page = await look(browser, viewport, scheme, `${screen}-${scheme}`);
        if (screen === "wide" && scheme === "dark") await print(page);
        await page.context().close();
      }
    }
  } finally {
    await browser.close();
  }
  console.log(JSON.stringify(seen));
})().catch((error) => { console.error(error); process.exitCode = 1; });
