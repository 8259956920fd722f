// Opens every scene of the built screen in Chromium, in both languages and both themes, and fails on what an
// accessibility checker finds. With `--shots FOLDER` it saves what it sees, at three sizes.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import puppeteer from 'puppeteer-core';

const dist = fileURLToPath(new URL('../dist', import.meta.url));
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const shots = process.argv.includes('--shots') ? process.argv[process.argv.indexOf('--shots') + 1] : undefined;
if (shots) mkdirSync(shots, { recursive: true });
const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };

const server = createServer(async (request, response) => {
  const path = normalize(new URL(request.url, 'http://x').pathname).replace(/\/$/, '/index.html');
  try {
    const body = await readFile(join(dist, path));
    response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream' }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const site = `http://127.0.0.1:${server.address().port}/`;

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--force-prefers-reduced-motion'],
});
const scenes = ['first-start', 'home', 'empty', 'player', 'sources', 'statistics', 'waiting', 'failed', 'question', 'close', 'settings', 'help', 'notices', 'share', 'shares', 'shares-own'];
const sizes = [[1120, 680, 1], [960, 540, 1], [1920, 1080, 1], [480, 300, 2]];
let found = 0;
let passed = 0;
try {
  const page = await browser.newPage();
  page.on('pageerror', (error) => {
    console.error(`the page failed: ${error.message}`);
    found += 1;
  });
  for (const scene of scenes) {
    for (const language of ['en', 'zh-CN']) {
      for (const theme of ['light', 'dark']) {
        await page.setViewport({ width: 1120, height: 680 });
        await page.goto(`${site}?scene=${scene}&lang=${language}&theme=${theme}`);
        await page.waitForSelector('#app > *');
        // Over a white film everything has to be readable too: that is the hard case.
        await page.addStyleTag({ content: `html { background: ${theme === 'light' ? '#fff' : '#000'} !important }` });
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() =>
          globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }),
        );
        for (const { id, help, nodes } of violations) {
          found += 1;
          console.error(`${scene} ${language} ${theme}: ${id}: ${help}\n  ${nodes.map((node) => node.html).join('\n  ')}`);
        }
        if (violations.length === 0) passed += 1;
        for (const [width, height, deviceScaleFactor] of sizes) {
          await page.setViewport({ width, height, deviceScaleFactor });
          const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
          if (wide) {
            found += 1;
            console.error(`${scene} ${language}: wider than the window at ${width}×${height}`);
          }
          if (shots) await page.screenshot({ path: join(shots, `${scene}-${language}-${theme}-${width}.png`) });
        }
      }
    }
  }
} finally {
  await browser.close();
  server.close();
}
console.log(`accessibility: ${passed} scenes passed, ${found} findings`);
process.exit(found > 0 ? 1 : 0);
