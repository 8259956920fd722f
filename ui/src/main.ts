import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import type { Backend } from './backend/backend';

async function backend(): Promise<Backend> {
  if ('__TAURI_INTERNALS__' in window) return (await import('./backend/tauri')).tauri();
  return (await import('./backend/fake')).fake(new URLSearchParams(location.search));
}

const target = document.getElementById('app');
if (target) mount(App, { target, props: { backend: await backend() } });
