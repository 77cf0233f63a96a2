import { defineConfig } from 'vite';

// One HTML file per page; everything they load goes, with a hash in its name, to /assets/.
export default defineConfig({
  base: '/',
  build: {
    target: 'es2022',
    // They know light-dark(), which the pages' colours are written in.
    cssTarget: ['chrome123', 'edge123', 'firefox120', 'safari17.5'],
    outDir: 'dist',
    assetsDir: 'assets',
    // The content security policy allows files of this origin only: no data: URLs, no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // dash.js is one chunk of 800 kB, loaded only by who asks for DASH.
    chunkSizeWarningLimit: 1000,
    rolldownOptions: { input: { panel: 'panel.html', player: 'player.html', publish: 'publish.html' } },
  },
});
