import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [svelte()],
  base: './',
  // WebKitGTK 2.40 and WebView2 are the oldest that show this.
  build: { target: 'safari16', assetsInlineLimit: 0, modulePreload: { polyfill: false } },
});
