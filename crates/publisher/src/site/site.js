// Makes copying one click, and fetches what changes by itself. All works without it.
for (const button of document.querySelectorAll('button[data-copy]')) {
  const field = document.getElementById(button.dataset.copy);
  const said = document.getElementById('said');
  button.hidden = false;
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      field.select();
      document.execCommand('copy');
    }
    const label = button.textContent;
    button.textContent = button.dataset.done;
    if (said) said.textContent = button.dataset.done;
    setTimeout(() => {
      button.textContent = label;
      if (said) said.textContent = '';
    }, 1600);
  });
}
for (const field of document.querySelectorAll('input[readonly], textarea[readonly]')) {
  field.addEventListener('focus', () => field.select());
}
const search = document.querySelector('input[type=search]');
addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^(input|textarea|select)$/i.test(document.activeElement?.tagName ?? '')) return;
  event.preventDefault();
  search?.focus();
});
const live = document.querySelector('[data-live]');
if (live) {
  fetch(live.dataset.live)
    .then((answer) => (answer.ok ? answer.text() : ''))
    .then((text) => {
      if (text) live.textContent = text;
    })
    .catch(() => {});
}
