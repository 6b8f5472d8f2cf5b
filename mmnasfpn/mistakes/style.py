"""The style of the page on a detector's mistakes."""

#: CSS, for light and dark screens, wide and narrow ones, and paper.
STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --faint: #5d6b7a; --line: #dfe5eb; --back: #f5f7f9;
  --card: #ffffff; --share: #2f8fe0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e9ee; --faint: #9aa7b4; --line: #34404c; --back: #14191f; --card: #1d242c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 8px 0 16px; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 0 0 8px; }
h3 { font-size: 1rem; margin: 16px 0 4px; }
p { margin: 0 0 12px; max-width: 75ch; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px;
  margin: 20px 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 0 0 16px;
  font-size: .9rem; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(96px, 1fr)); gap: 12px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 14px; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { color: var(--faint); font-size: .85rem; }
.scroll { overflow-x: auto; margin: 0 0 12px; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--faint); font-weight: 600; white-space: nowrap; }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.numbers { width: 100%; }
.numbers td:first-child { min-width: 8em; overflow-wrap: anywhere; }
.costs td:nth-child(3) { text-align: right; }
.cost { width: 130px; }
.bar { display: block; height: 7px; min-width: 2px; border-radius: 4px; margin-top: 3px; }
.costs em { font-style: normal; color: var(--faint); }
.chip { display: inline-block; color: #fff; border-radius: 5px; padding: 1px 8px; font-size: .82rem;
  font-weight: 600; white-space: nowrap; }
.share { display: inline-block; min-width: 58px; padding: 0 0 2px;
  background: linear-gradient(#2f8fe0, #2f8fe0) left bottom / var(--share) 3px no-repeat; }
figure { margin: 0 0 8px; }
figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; border-radius: 6px;
  background: #fff; }
figcaption { font-size: .85rem; color: var(--faint); margin-top: 4px; overflow-wrap: anywhere; }
figcaption b { color: var(--ink); margin-right: 6px; }
.images { display: grid; gap: 20px; }
@media (max-width: 640px) {
  main { padding: 12px 12px 32px; }
  section { padding: 14px 12px; margin: 14px 0; }
  .costs thead { display: none; }
  .costs tr { display: grid; grid-template-columns: auto 1fr auto; gap: 4px 12px; padding: 8px 0;
    border-bottom: 1px solid var(--line); }
  .costs td { border: 0; padding: 0; }
  .costs td:nth-child(3)::after { content: ' errors'; color: var(--faint); }
  .costs td:nth-child(4) { grid-column: 1 / -1; }
  .wide img { max-width: none; width: max(100%, 620px); }
}
@media print { section { break-inside: avoid; border: 0; padding: 0; } body { background: #fff; } }
"""
