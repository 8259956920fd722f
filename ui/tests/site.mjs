// Opens pages of a publisher's site in Chromium, in both languages and both themes, and fails on what an accessibility
// checker finds, on what the pages' own policy refuses, and on pages wider than the window.
//
//   node tests/site.mjs http://127.0.0.1:8400/ [/path …] [--shots FOLDER]
import { mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';

const given = process.argv.slice(2);
const at = given.indexOf('--shots');
const shots = at < 0 ? undefined : given.splice(at, 2)[1];
if (shots) mkdirSync(shots, { recursive: true });
const [site, ...paths] = given;
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--force-prefers-reduced-motion'],
});
let found = 0;
let passed = 0;
const complain = (text) => {
  found += 1;
  console.error(text);
};
try {
  const page = await browser.newPage();
  page.on('pageerror', (error) => complain(`the page failed: ${error.message}`));
  page.on('console', (message) => {
    if (/Content Security Policy|Refused to/i.test(message.text())) complain(message.text());
  });
  // The checker is put into the page by hand, which the page's policy rightly forbids: it is checked with a policy
  // first, and then without one.
  for (const path of paths.length > 0 ? paths : ['./']) {
    for (const language of ['en', 'zh']) {
      for (const theme of ['light', 'dark']) {
        await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }]);
        const url = new URL(path, site);
        url.searchParams.set('lang', language);
        const name = `${path.replace(/[^a-z0-9]+/gi, '-').replace(/^-|-$/g, '').slice(0, 20) || 'index'}-${language}-${theme}`;
        await page.setBypassCSP(false);
        for (const [width, height, scale] of [[1280, 800, 1], [390, 844, 2]]) {
          await page.setViewport({ width, height, deviceScaleFactor: scale });
          await page.goto(url.href, { waitUntil: 'load' });
          const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
          if (wide) complain(`${name}: wider than the window at ${width}×${height}`);
          if (shots) await page.screenshot({ path: join(shots, `${name}-${width}.png`) });
        }
        await page.setBypassCSP(true);
        await page.goto(url.href, { waitUntil: 'load' });
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() =>
          globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }),
        );
        for (const { id, help, nodes } of violations) {
          complain(`${name}: ${id}: ${help}\n  ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join('\n  ')}`);
        }
        if (violations.length === 0) passed += 1;
      }
    }
  }
} finally {
  await browser.close();
}
console.log(`accessibility: ${passed} pages passed, ${found} findings`);
process.exit(found > 0 ? 1 : 0);
