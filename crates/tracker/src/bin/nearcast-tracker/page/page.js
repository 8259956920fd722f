// Brings the page up to date every two seconds; without it the page loads itself anew.
'use strict';
const main = document.querySelector('main');
const live = document.querySelector('.live');
const alive = live.textContent;

async function update() {
  try {
    const answer = await fetch(main.dataset.part, { cache: 'no-store', signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(String(answer.status));
    const at = [...main.querySelectorAll('.rows')].map((rows) => rows.scrollTop);
    const parsed = new DOMParser().parseFromString(await answer.text(), 'text/html');
    main.replaceChildren(...parsed.body.childNodes);
    main.querySelectorAll('.rows').forEach((rows, index) => { rows.scrollTop = at[index] ?? 0; });
    live.textContent = alive;
    live.classList.remove('lost');
  } catch {
    live.textContent = live.dataset.lost;
    live.classList.add('lost');
  }
  setTimeout(update, 2000);
}
setTimeout(update, 2000);
