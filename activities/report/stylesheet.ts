/** The page's only style: light or dark as the reader's system is, one column on a phone. */
export const stylesheet = `
:root { color-scheme: light dark; --text: #1c2024; --dim: #5a636d; --page: #fcfcfa; --raised: #f1f2ee; --rule: #d5d8d2;
  --link: #0b5cad; --pass: #176b35; --fail: #a8231c; --caution: #7a4b00;
  --line-1: #0b5cad; --line-2: #b25000; --line-3: #80868f; --line-4: #176b35; --line-5: #8b2fa8; --line-6: #a8231c; }
@media (prefers-color-scheme: dark) { :root { --text: #e8e8e4; --dim: #a5acb5; --page: #16181b; --raised: #202328; --rule: #3a3f46;
  --link: #7db8f5; --pass: #6fcf8e; --fail: #ff8d84; --caution: #e8b45c;
  --line-1: #6cb0f5; --line-2: #f0a050; --line-3: #a0a6b0; --line-4: #6fcf8e; --line-5: #d296ea; --line-6: #ff8d84; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--text); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-inline-size: 68rem; margin-inline: auto; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 4rem; }
h1 { font-size: clamp(1.5rem, 5vw, 2.1rem); line-height: 1.2; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.75rem 0 .75rem; padding-block-end: .3rem; border-block-end: 1px solid var(--rule); }
h3 { font-size: 1.08rem; margin: 1.75rem 0 .25rem; overflow-wrap: anywhere; }
h4 { font-size: 1rem; margin: 1.1rem 0 .35rem; }
p, li, dd { max-inline-size: 48rem; }
a { color: var(--link); }
.kicker { margin: 0 0 .35rem; color: var(--dim); font-size: .9rem; overflow-wrap: anywhere; }
.verdict { font-size: 1.15rem; margin: 0 0 .5rem; }
.scroll { overflow-x: auto; margin-block-end: 1rem; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
.caption { color: var(--dim); font-size: .92rem; margin: 1.1rem 0 .3rem; }
th, td { padding: .32rem .8rem .32rem 0; text-align: end; border-block-end: 1px solid var(--rule); white-space: nowrap; vertical-align: baseline; }
thead th { font-weight: 600; color: var(--dim); white-space: normal; vertical-align: bottom; }
th:first-child { text-align: start; font-weight: inherit; }
thead th:first-child { font-weight: 600; }
@media (max-width: 40rem) { th:first-child { white-space: normal; min-inline-size: 5.5rem; } table { font-size: .88rem; } th, td { padding-inline-end: .6rem; } }
.error { color: var(--dim); font-size: .88em; }
.tag { display: inline-block; font-size: .82rem; font-weight: 500; padding: 0 .45em; border: 1px solid currentColor; border-radius: .3em; color: var(--dim); }
.tag.pass { color: var(--pass); } .tag.fail { color: var(--fail); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1.5rem 2rem; }
figure { margin: 0; min-inline-size: 0; } figure svg { display: block; inline-size: 100%; block-size: auto; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; margin: 0 0 .4rem; padding: 0; font-size: .9rem; }
.legend li { display: flex; align-items: center; gap: .45rem; } figure .legend svg { inline-size: 28px; flex: none; }
.line-1 { color: var(--line-1); } .line-2 { color: var(--line-2); } .line-3 { color: var(--line-3); }
.line-4 { color: var(--line-4); } .line-5 { color: var(--line-5); } .line-6 { color: var(--line-6); }
figcaption { font-weight: 600; margin-block-end: .4rem; }
.unseen { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.caution { color: var(--caution); }
pre.text { margin: .35rem 0; padding: .6rem .8rem; background: var(--raised); border-radius: .35rem; font: .88rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; max-inline-size: 100%; }
pre.model { border-inline-start: 3px solid var(--line-1); }
code { font: .92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--link); padding-block: .2rem; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
dl { margin: .5rem 0; } dt { font-weight: 600; margin-block-start: .6rem; } dd { margin: 0; }
dl.turn dt { font-weight: 500; color: var(--dim); font-size: .92rem; } dl.turn ul { margin: 0; padding-inline-start: 1.1rem; }
.bar { display: inline-block; inline-size: 5rem; block-size: .6rem; margin-inline-start: .6rem; background: var(--raised); text-align: start; }
.bar > span { display: block; block-size: 100%; background: var(--line-1); }
@media print { details > * { display: block; } section { break-inside: auto; } }
`;
