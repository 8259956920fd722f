// Brings the figures up to date every two seconds while the page is looked at.
setInterval(async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const fresh = page.getElementById('live');
    const shown = document.getElementById('live');
    if (fresh && !shown.contains(document.activeElement)) shown.replaceWith(fresh);
  } catch {
    // The publisher is away: what was seen last stays.
  }
}, 2000);
