// A visitor in a real browser with a window: opens title pages of a publisher's site and clicks Play on each.
//
//   node tests/click.mjs PROFILE http://127.0.0.1:8400/t/KEY …
//
// PROFILE is an empty folder for the browser. Each address is taken after a line on standard input; it says `clicked`
// when the page that opens the app is there. What opens `nearcast:` is up to the system, as it is for everyone.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import puppeteer from 'puppeteer-core';

const [profile, ...pages] = process.argv.slice(2);
// As if the visitor had once said «always allow this site to open links of this kind», which is all that the browser's
// question would ask; it is part of the browser and no page can answer it.
const { origin } = new URL(pages[0]);
const allowed = { [origin]: { nearcast: true } };
mkdirSync(join(profile, 'Default'), { recursive: true });
writeFileSync(
  join(profile, 'Default', 'Preferences'),
  JSON.stringify({ protocol_handler: { allowed_origin_protocol_pairs: allowed } }),
);
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: false,
  userDataDir: profile,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--window-position=0,0', '--window-size=900,700'],
});
try {
  const [page] = await browser.pages();
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  for (const url of pages) {
    console.log('ready');
    if ((await lines.next()).done) break;
    await page.goto(url, { waitUntil: 'load' });
    // The page stays a while: what is sent away by its own refresh isn't loaded any more.
    await Promise.all([page.waitForFunction(() => location.pathname.includes('/play/')), page.click('.actions .button')]);
    console.log(`clicked ${await page.title()}`);
  }
  console.log('done');
  await lines.next();
} finally {
  await browser.close();
}
