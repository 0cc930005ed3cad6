"""How the status page looks and refreshes: all of its CSS and script. No outside resource, no build step."""

import base64
import hashlib

STYLE = """
:root{--bg:#f3f5f8;--card:#fff;--ink:#18202c;--dim:#556072;--line:#d8dee8;--good:#0a6636;--good-bg:#e0f3e8;
--warn:#754700;--warn-bg:#fdefd0;--bad:#a01414;--bad-bg:#fde3e1;--dim-bg:#e9edf3;--link:#1d4fb8}
@media(prefers-color-scheme:dark){:root{--bg:#0f131a;--card:#181e28;--ink:#e7ebf2;--dim:#9ca8ba;--line:#2c3543;
--good:#74dda0;--good-bg:#12321f;--warn:#f4c76e;--warn-bg:#3a2c0e;--bad:#ff9d97;--bad-bg:#431a19;--dim-bg:#262e3b;
--link:#93b7ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1rem 1.25rem 2rem;background:var(--bg);color:var(--ink);
overflow-wrap:anywhere;font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
a{color:var(--link)}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--card);padding:.5rem}
header{display:flex;flex-wrap:wrap;gap:.5rem 2rem;justify-content:space-between;align-items:flex-start;
padding:.25rem 0 .75rem}
h1{font-size:1.6rem;margin:0;line-height:1.2}
h2{font-size:1.1rem;margin:1.75rem 0 .6rem}
h3{font-size:1.1rem;margin:0}
p{margin:.35rem 0}
.about,small,caption,.legend{color:var(--dim)}
#state{max-width:38rem}#state .word{margin-right:.4rem}
#state ul{margin:.4rem 0;padding-left:1.1rem}
.word{display:inline-block;padding:.05rem .55rem;border-radius:1rem;font-weight:600;font-size:.86rem;
background:var(--dim-bg);color:var(--dim)}
.word.good{background:var(--good-bg);color:var(--good)}
.word.warn{background:var(--warn-bg);color:var(--warn)}
.word.bad{background:var(--bad-bg);color:var(--bad)}
article,section>table{background:var(--card)}
article,section>table,.box{border:1px solid var(--line);border-radius:.6rem}
article{padding:.9rem 1rem;margin-bottom:.8rem}
.head{display:flex;flex-wrap:wrap;gap:.3rem .7rem;align-items:center}.head .about{margin:0 0 0 auto}
.chain{list-style:none;display:flex;margin:.8rem 0 .4rem;padding:0;gap:.5rem 1.6rem}
.chain li{flex:1;position:relative;border:1px solid var(--line);border-radius:.5rem;padding:.45rem .7rem;min-width:0}
.chain b{display:block;font-size:.86rem;font-weight:600;color:var(--dim)}
.chain li+li::before{content:"\\2192";content:"\\2192"/"";position:absolute;left:-1.35rem;top:50%;
transform:translateY(-50%);color:var(--dim)}
.why{border-left:3px solid var(--warn);padding-left:.6rem}
code{background:var(--dim-bg);padding:.1rem .35rem;border-radius:.3rem}
details{margin:.6rem 0 .2rem}summary{cursor:pointer;font-weight:600}
table{width:100%;border-collapse:separate;border-spacing:0}
section>table{padding:.2rem 1rem .5rem}
caption{text-align:left;padding:.5rem 0 .2rem;font-size:.9rem}
section>table caption{padding:.5rem 1rem .1rem;background:none}
th{overflow-wrap:normal;text-align:left;font-size:.86rem;color:var(--dim);font-weight:600}
th,td{padding:.35rem .8rem .35rem 0;vertical-align:top;border-bottom:1px solid var(--line)}
tr:last-child td{border-bottom:0}
td{min-width:3.2rem}
td time,td .word{white-space:nowrap}td[data-head=List],td[data-head=Program]{min-width:9.5rem}
.box{background:var(--card);padding:.5rem .9rem}
.line{display:block;overflow:hidden}
.line text{font-size:12px;fill:var(--ink);font-weight:600}
.line text.tick{fill:var(--dim);font-weight:400}
.base{stroke:var(--line);stroke-width:2}line.tick{stroke:var(--line);stroke-dasharray:2 4}
use.good{fill:var(--good)}use.warn{fill:var(--warn)}use.bad{fill:var(--bad)}use.dim{fill:var(--dim)}
.cut{stroke:var(--card);stroke-width:2;fill:none}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;padding:0;margin:.5rem 0 .8rem}
.key{width:1rem;height:1rem;vertical-align:-.15rem;margin-right:.35rem}
footer{margin-top:1.5rem;color:var(--dim)}
button,select,input{font:inherit;color:var(--ink);background:var(--card);border:1px solid var(--dim);
border-radius:.4rem;padding:.15rem .7rem;cursor:pointer}
#lost{color:var(--bad);font-weight:600}
@media(max-width:44rem){
body{padding:.75rem .75rem 2rem}
.chain{display:grid;grid-template-columns:1fr 1fr;gap:.5rem}.chain li+li::before{content:none}
.head .about{margin:0;width:100%}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,caption,tbody,tr,td{display:block}
tr{border-bottom:1px solid var(--line);padding:.45rem 0}tr:last-child{border-bottom:0}
td{display:flex;gap:.75rem;border:0;padding:.1rem 0}td.none{display:none}
td::before{content:attr(data-head);flex:0 0 5.5rem;color:var(--dim);font-size:.86rem}td>div{min-width:0}
td .word{white-space:normal}section>table{padding:.2rem .9rem .4rem}section>table caption{padding:.4rem 0 0}
}
form p{display:flex;flex-wrap:wrap;gap:.5rem 1.2rem}label{color:var(--dim);min-width:0;max-width:100%}
select,input{display:block;max-width:100%}
@media print{button,form,.skip{display:none}}
"""

SCRIPT = """
"use strict";
(() => {
  const EVERY = 5000, button = document.getElementById("auto"), lost = document.getElementById("lost");
  let on = true;
  const label = () => { button.textContent = on ? "Pause refreshing" : "Refresh by itself"; };
  const reading = () => {
    const at = document.activeElement;
    return String(getSelection()) !== "" || document.getElementById("main").contains(at);
  };
  const take = (from, id) => {
    const now = document.getElementById(id), next = from.getElementById(id);
    if (!now || !next || now.innerHTML === next.innerHTML) return;
    now.replaceChildren(...document.importNode(next, true).childNodes);
  };
  const refresh = async () => {
    if (!on || document.hidden || reading()) return;
    try {
      const reply = await fetch("/", { cache: "no-store" });
      if (!reply.ok) throw new Error(String(reply.status));
      const next = new DOMParser().parseFromString(await reply.text(), "text/html");
      for (const open of document.querySelectorAll("details")) {
        const same = next.getElementById(open.id);
        if (same) same.open = open.open;
      }
      document.title = next.title;
      for (const id of ["about", "state", "main", "as-of"]) take(next, id);
      lost.textContent = "";
    } catch (error) {
      lost.textContent = "This node does not answer: what you see is old.";
    }
  };
  button.addEventListener("click", () => { on = !on; label(); refresh(); });
  button.hidden = false;
  label();
  setInterval(refresh, EVERY);
})();
"""


def _source(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_source(STYLE)}",
        f"script-src {_source(SCRIPT)}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content-Security-Policy: nothing runs but this very script, nothing is loaded from anywhere."""


def headers(acts: bool) -> tuple[tuple[str, str], ...]:
    """Of the page; `acts`: its form may be sent, to us."""
    return (
        ("Content-Security-Policy", POLICY.replace("form-action 'none'", "form-action 'self'") if acts else POLICY),
        ("Referrer-Policy", "no-referrer"),
        ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    )
